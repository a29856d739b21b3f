"""Publishing a feature view: its new rows into its version's table, the newest ones online.

A version's table is only ever appended to, so what was served stays reproducible.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from onward.core import fingerprint
from onward.core.clock import Clock
from onward.core.ports import Lake, OnlineStore
from onward.core.records import Column, DatasetRef, FeatureSetRef
from onward.stages.features import view as views
from onward.stages.features.changes import Changes, changes
from onward.stages.features.config import FeatureView
from onward.stages.features.evaluation import inputs_of
from onward.stages.features.incremental import Touched, touched_since, upto
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

    Nothing is evaluated while code and inputs are as they were (and, of a windowed view, no moment
    has come at which a row leaves its window). After a crash at any line the
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
    now = clock.now()
    number = next(
        (
            n
            for n, p in versions.items()
            if (p.code, p.inputs) == (view.digest, _text(refs))
            and not (view.reach is not None and view.reach.due(p.at, now))
        ),
        None,
    )
    if number is None:
        number, features, added = _append(view, versions, read, lake=lake, run=run, now=now)
    else:
        features = features_of(view, lake, number)
    plan = views.plan(view, number, table_of(view.name, number), features)
    head = published(lake, plan.table)
    written = materialize(plan, lake=lake, online=online, now=now, added=added)
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
    now: datetime,
) -> tuple[int, tuple[Column, ...], pa.Table]:
    """Append the view's new rows; return its version's number, its features, and the rows."""
    touched = touched_since(view, versions, read, lake=lake, now=now)
    computed = _compute(view, versions, read, touched, lake=lake, now=now)
    if touched is not None and computed.number != touched.number:  # it has other columns now
        computed = _compute(view, versions, read, None, lake=lake, now=now)
    number, found = computed.number, computed.changes
    inputs = _text(dataset.ref for dataset in read.values())
    known = [found.known_by, versions[number].known_by if number in versions else None]
    known_by = max((moment for moment in known if moment is not None), default=None)
    if known_by is not None:
        lake.append(
            table_of(view.name, number),
            found.rows,
            key=f"{run}/{view.name}/{fingerprint.of_text(computed.definition, inputs)}",
            state=state(
                entity=view.entity,
                code=view.digest,
                definition=computed.definition,
                inputs=inputs,
                marked=found.marked,
                known_by=known_by,
                at=now,
            ),
        )
        lake.compact(table_of(view.name, number), every=_SMALL_FILES)
    return number, computed.features, found.rows


@dataclass(frozen=True, slots=True, kw_only=True)
class _Computed:
    number: int
    definition: str
    features: tuple[Column, ...]
    changes: Changes


def _compute(
    view: FeatureView,
    versions: Mapping[int, Published],
    read: Mapping[str, DatasetRef],
    touched: Touched | None,
    *,
    lake: Lake,
    now: datetime,
) -> _Computed:
    """Compare the view's rows, whole or as far as new rows touch them, with its version's."""
    held = {
        f"_v{number}": lake.dataset(table_of(view.name, number))
        for number, version in versions.items()
        if version.code == view.digest
    }
    with lake.open({**(touched.datasets if touched else read), **held}) as backend:
        relation = touched.narrow(backend, f"_v{touched.number}") if touched else None
        given = views.rows(view, backend)
        definition = given.definition(view)
        same = (n for n, version in versions.items() if version.definition == definition)
        number = next(same, max(versions, default=0) + 1)
        if view.reach is not None:
            given = upto(given, now)
        if touched is not None:
            given = touched.within(given, backend)
        elif number in versions:
            relation = f"_v{number}"
        return _Computed(
            number=number,
            definition=definition,
            features=given.features,
            changes=changes(view, given, backend, relation, now),
        )


def _text(refs: Iterable[str]) -> str:
    return ",".join(refs)
