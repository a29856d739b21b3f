"""Publishing a feature view: its new rows into its version's table, the newest ones online.

A version's table is only ever appended to, so what was served stays reproducible.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final

from onward.core import fingerprint
from onward.core.clock import Clock
from onward.core.ports import Lake, OnlineStore
from onward.core.records import Column, DatasetRef, FeatureSetRef
from onward.stages.features import view as views
from onward.stages.features.changes import changes
from onward.stages.features.config import FeatureView
from onward.stages.features.evaluation import inputs_of
from onward.stages.features.materialization import materialize
from onward.stages.features.versions import (
    Published,
    features_of,
    published,
    state,
    table_of,
    versions_of,
)

if TYPE_CHECKING:
    import pyarrow as pa

_SMALL_FILES: Final = 20  # a publication adds one; more of them are rewritten as few


def publish(
    view: FeatureView,
    *,
    lake: Lake,
    online: OnlineStore,
    inputs: Mapping[str, DatasetRef],
    run: str,
    clock: Clock,
) -> FeatureSetRef:
    """Append the view's new rows to its version's table, then write the newest known ones online.

    A version is its content: the same code and columns keep it, others begin the next. Rows whose
    (entity, event time, availability time) is new are appended as they are. Where the newest row
    of an (entity, event time) has other values than before, it is appended as available now: it
    becomes known as it is published, and history stays. A row that the view no longer gives
    stays. Values that differ by less than a billionth are the same: sums over many rows depend on
    their order.

    Nothing is evaluated while code and inputs are as they were. After a crash at any line the
    same call leaves the rows, in the lake and online, once.

    Raises
    ------
    DataError
        The view fails, or its rows lack a column or stand twice.
    NotFoundError
        The view reads what `inputs` lacks.
    """
    read = inputs_of(view, inputs)
    refs = tuple(dataset.ref for dataset in read.values())
    versions = versions_of(view.name, lake)
    added: pa.Table | None = None
    number = next(
        (n for n, p in versions.items() if (p.code, p.inputs) == (view.digest, _text(refs))), None
    )
    if number is None:
        number, features, added = _append(view, versions, read, lake=lake, run=run, clock=clock)
    else:
        features = features_of(view, lake, number)
    plan = views.plan(view, number, table_of(view.name, number), features)
    head = published(lake, plan.table)
    written = materialize(plan, lake=lake, online=online, now=clock.now(), added=added)
    return FeatureSetRef(
        view=plan,
        snapshot=None if head is None else head.snapshot.id,
        rows_added=0 if added is None else added.num_rows,
        online_written=written,
        inputs=refs,
    )


def _append(
    view: FeatureView,
    versions: Mapping[int, Published],
    read: Mapping[str, DatasetRef],
    *,
    lake: Lake,
    run: str,
    clock: Clock,
) -> tuple[int, tuple[Column, ...], pa.Table]:
    """Append the view's new rows; return its version's number, its features, and the rows."""
    held = {
        f"_v{number}": lake.dataset(table_of(view.name, number))
        for number, version in versions.items()
        if version.code == view.digest
    }
    with lake.open({**read, **held}) as backend:
        given = views.rows(view, backend)
        definition = given.definition(view)
        same = (n for n, version in versions.items() if version.definition == definition)
        number = next(same, max(versions, default=0) + 1)
        found = changes(
            view, given, backend, f"_v{number}" if number in versions else None, clock.now()
        )
    inputs = _text(dataset.ref for dataset in read.values())
    if found.known_by is not None:
        lake.append(
            table_of(view.name, number),
            found.rows,
            key=f"{run}/{view.name}/{fingerprint.of_text(definition, inputs)}",
            state=state(
                code=view.digest,
                definition=definition,
                inputs=inputs,
                marked=found.marked,
                known_by=found.known_by,
            ),
        )
        lake.compact(table_of(view.name, number), every=_SMALL_FILES)
    return number, given.features, found.rows


def _text(refs: Iterable[str]) -> str:
    return ",".join(refs)
