"""Publishing a feature view: its new rows into its version's table, the newest ones online.

A version's table is only ever appended to, so what was served stays reproducible. Its state
says what it was made from (`Published`).
"""

# ruff: noqa: S608 (identifiers are quoted)
from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from onward.core import fingerprint
from onward.core.clock import Clock
from onward.core.ports import Lake, OnlineStore, Snapshot
from onward.core.records import Column, DatasetRef, FeatureSetRef, ViewPlan
from onward.stages.features import view as views
from onward.stages.features.changes import changes
from onward.stages.features.config import FeatureView
from onward.stages.features.evaluation import inputs_of
from onward.stages.features.sql import comma

if TYPE_CHECKING:
    import pyarrow as pa


_SMALL_FILES: Final = 20  # a publication adds one; more of them are rewritten as few


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What a feature table's snapshot says of itself.

    Parameters
    ----------
    snapshot
        The snapshot.
    code
        The view's digest.
    definition
        The digest of the view and its columns: the version's identity.
    inputs
        The refs of the snapshots that the view read.
    marked
        Whether the rows' marks hold: no backfill has put one out of order.
    known_by
        When the last of the rows is known.
    """

    snapshot: Snapshot
    code: str
    definition: str
    inputs: str
    marked: bool
    known_by: datetime


def published(lake: Lake, table: str, snapshot: int | None = None) -> Published | None:
    """Return what a feature table's newest snapshot, or the given one, says of itself."""
    found = lake.head(table)
    if found is not None and snapshot not in (None, found.id):
        found = next((s for s in lake.history(table) if s.id == snapshot), None)
    if found is None:
        return None
    said = found.state
    return Published(
        snapshot=found,
        code=said["view_code"],
        definition=said["view_definition"],
        inputs=said["view_inputs"],
        marked=said["view_marked"] == "true",
        known_by=datetime.fromisoformat(said["view_known_by"]),
    )


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
    versions = _versions(view, lake)
    added: pa.Table | None = None
    number = next(
        (n for n, p in versions.items() if (p.code, p.inputs) == (view.digest, _text(refs))), None
    )
    if number is None:
        number, features, added = _append(view, versions, read, lake=lake, run=run, clock=clock)
    else:
        features = _features(view, lake, number)
    table = _table(view, number)
    plan = views.plan(view, number, table, features)
    head = published(lake, table)
    written = 0
    if head is not None:
        written = _write_online(plan, head, added, lake=lake, online=online, now=clock.now())
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
        f"_v{number}": lake.dataset(_table(view, number))
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
            _table(view, number),
            found.rows,
            key=f"{run}/{view.name}/{fingerprint.of_text(definition, inputs)}",
            state={
                "view_code": view.digest,
                "view_definition": definition,
                "view_inputs": inputs,
                "view_marked": str(found.marked).lower(),
                "view_known_by": found.known_by.isoformat(),
            },
        )
        lake.compact(_table(view, number), every=_SMALL_FILES)
    return number, given.features, found.rows


def _write_online(
    plan: ViewPlan,
    head: Published,
    added: pa.Table | None,
    *,
    lake: Lake,
    online: OnlineStore,
    now: datetime,
) -> int:
    """Write the newest row known by `now` of every entity that may have a newer one.

    The store's mark says from which snapshot it was last written, and when. Entities that gained
    rows since, or rows that have become known since, are written; all of them where the mark does
    not tell, as after a crash.
    """
    snapshot, _, at = (online.mark(plan) or "").partition("@")
    written = datetime.fromisoformat(at) if at else None
    if snapshot == str(head.snapshot.id) and written is not None and head.known_by <= written:
        return 0
    follows = added is not None and snapshot == str(head.snapshot.parent)
    rows = DatasetRef(table=plan.table, snapshot=head.snapshot.id, rows=head.snapshot.rows)
    datasets: dict[str, DatasetRef | pa.Table] = {"_rows": rows}
    known, entity = "greatest(event_time, available_at)", comma(plan.entity)
    touched, parameters = "", [now]
    if written is not None and (follows or snapshot == str(head.snapshot.id)):
        touched = f"SELECT {entity} FROM _rows WHERE {known} > ? AND {known} <= ?"
        parameters = [written, now, now]
        if added is not None and added.num_rows:
            datasets["_added"] = added
            touched += f" UNION SELECT {entity} FROM _added"
        touched = f"SEMI JOIN ({touched}) USING ({entity})"
    with lake.open(datasets) as backend:
        newest = backend.raw_sql(
            f"""SELECT {comma((*plan.entity, "event_time", *plan.columns))}
                FROM _rows {touched} WHERE {known} <= ?
                QUALIFY row_number() OVER (
                    PARTITION BY {entity} ORDER BY event_time DESC, available_at DESC) = 1""",
            parameters=parameters,
        ).to_arrow_table()
    return online.write(plan, newest, mark=f"{head.snapshot.id}@{now.isoformat()}")


def _versions(view: FeatureView, lake: Lake) -> dict[int, Published]:
    """Return the view's published versions by number, the newest first."""
    pattern = re.compile(re.escape(f"features.{view.name}_v") + r"(\d+)")
    numbers = sorted(
        (int(match[1]) for table in lake.tables() if (match := pattern.fullmatch(table))),
        reverse=True,
    )
    found = ((number, published(lake, _table(view, number))) for number in numbers)
    return {number: version for number, version in found if version is not None}


def _features(view: FeatureView, lake: Lake, number: int) -> tuple[Column, ...]:
    schema = lake.schema(_table(view, number))
    assert schema is not None
    return views.stored(view, schema)[1]


def _table(view: FeatureView, number: int) -> str:
    return f"features.{view.name}_v{number}"


def _text(refs: Iterable[str]) -> str:
    return ",".join(refs)
