"""Materializing a view: from its version's table to the online store."""

# ruff: noqa: S608 (identifiers are quoted)
from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from onward.core.ports import Lake, OnlineStore
from onward.core.records import DatasetRef, Materialized, ViewPlan
from onward.stages.features.sql import comma
from onward.stages.features.versions import Published, published

if TYPE_CHECKING:
    import pyarrow as pa

_KNOWN = "greatest(event_time, available_at)"


def materialize(
    view: ViewPlan,
    *,
    lake: Lake,
    online: OnlineStore,
    now: datetime,
    added: pa.Table | None = None,
    full: bool = False,
) -> int:
    """Write the newest row known by `now` of every entity that may have a newer one.

    The store's mark says from which snapshot it was last written, and when. Entities that gained
    rows since, or rows that have become known since, are written; all of them where the mark does
    not tell, as after a crash or in a new store, or with `full`. `added` are the rows of the
    table's newest snapshot, for a caller that has them at hand. Returns how many rows were newer.

    Raises
    ------
    UnavailableError
        The store does not answer.
    """
    head = published(lake, view.table)
    if head is None:
        return 0
    mark = None if full else online.mark(view)
    if mark is not None and mark.snapshot == head.snapshot.id and head.known_by <= mark.at:
        return 0
    rows = _newest(view, head, mark, added, lake, now)
    times = [None if mark is None else mark.newest, _latest(rows)]
    reached = Materialized(
        snapshot=head.snapshot.id,
        at=now,
        newest=max((time for time in times if time is not None), default=None),
    )
    return online.write(view, rows, mark=reached)


def _newest(
    view: ViewPlan,
    head: Published,
    mark: Materialized | None,
    added: pa.Table | None,
    lake: Lake,
    now: datetime,
) -> pa.Table:
    """Return the newest known row of the entities that the mark does not cover."""
    rows = DatasetRef(table=view.table, snapshot=head.snapshot.id, rows=head.snapshot.rows)
    datasets: dict[str, DatasetRef | pa.Table] = {"_rows": rows}
    entity = comma(view.entity)
    touched, parameters = "", [now]
    if mark is not None and _follows(mark, head, added):
        touched = f"SELECT {entity} FROM _rows WHERE {_KNOWN} > ? AND {_KNOWN} <= ?"
        parameters = [mark.at, now, now]
        if added is not None and added.num_rows:
            datasets["_added"] = added
            touched += f" UNION SELECT {entity} FROM _added"
        touched = f"SEMI JOIN ({touched}) USING ({entity})"
    with lake.open(datasets) as backend:
        return backend.raw_sql(
            f"""SELECT {comma((*view.entity, "event_time", *view.columns))}
                FROM _rows {touched} WHERE {_KNOWN} <= ?
                QUALIFY row_number() OVER (
                    PARTITION BY {entity} ORDER BY event_time DESC, available_at DESC) = 1""",
            parameters=parameters,
        ).to_arrow_table()


def _follows(mark: Materialized, head: Published, added: pa.Table | None) -> bool:
    """Whether the rows that the mark does not cover are those added, or became known since."""
    if mark.snapshot == head.snapshot.id:
        return True
    return added is not None and mark.snapshot == head.snapshot.parent


def _latest(rows: pa.Table) -> datetime | None:
    import pyarrow.compute as pc

    found: datetime | None = pc.max(rows["event_time"]).as_py()
    return found
