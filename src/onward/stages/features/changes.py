"""Which of a view's rows are new, against those that its table holds."""

# ruff: noqa: S608 (identifiers are quoted)
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from onward.core.errors import DataError
from onward.core.records import Column
from onward.core.sql import identifier
from onward.core.wording import counted
from onward.stages.features.config import FeatureView
from onward.stages.features.evaluation import failed, kind
from onward.stages.features.point_in_time import IN_ORDER, marks
from onward.stages.features.sql import comma, prefixed, same
from onward.stages.features.view import TIMES, ViewRows

if TYPE_CHECKING:
    import pyarrow as pa
    from ibis.backends.duckdb import Backend

_SAME: Final = 1e-9  # relative: a sum over the same rows in another order differs by less


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """Rows to append, with their marks.

    Parameters
    ----------
    rows
        The entity's columns, the two times, the features, and the mark.
    marked
        Whether the marks of the rows held before are what they were.
    known_by
        When the last row, held or new, is known; None if there is none.
    """

    rows: pa.Table
    marked: bool
    known_by: datetime | None


def changes(
    view: FeatureView, given: ViewRows, backend: Backend, held: str | None, now: datetime
) -> Changes:
    """Compare a view's rows with those of relation `held` (None for a table yet to be).

    A new (entity, event time, availability time) is a new row. Where the view's newest row for an
    (entity, event time) differs from the newest one held, it is a row available from `now` on.

    Raises
    ------
    DataError
        The view cannot be evaluated, a time is missing, or a row stands twice.
    """
    try:
        backend.create_table("_given", given.table, temp=True)
    except Exception as error:
        raise failed(kind(view), view.function, error) from error
    _require_times(view, backend)
    _require_once(view, backend)
    rows = held or f"(SELECT *, TRUE AS {IN_ORDER} FROM _given LIMIT 0)"
    backend.raw_sql(f"CREATE TEMP TABLE _held AS FROM {rows}")
    backend.raw_sql(f"CREATE TEMP TABLE _new AS {_new(view, given.features)}", parameters=[now])
    columns = comma((*view.entity, *TIMES, *(c.name for c in given.features)))
    both = f"""(SELECT {columns}, FALSE AS new, {IN_ORDER} AS was FROM _held
                UNION ALL SELECT {columns}, TRUE, NULL FROM _new)"""
    backend.raw_sql(f"CREATE TEMP TABLE _marked AS {marks(both, view.entity)}")
    [found] = (
        backend.raw_sql(
            f"SELECT max(known_at) AS by, count(*) FILTER (WHERE was AND NOT {IN_ORDER}) AS lost"
            " FROM _marked"
        )
        .to_arrow_table()
        .to_pylist()
    )
    return Changes(
        rows=backend.raw_sql(
            f"SELECT {columns}, {IN_ORDER} FROM _marked WHERE new"
            f" ORDER BY available_at, event_time, {comma(view.entity)}"
        ).to_arrow_table(),
        marked=found["lost"] == 0,
        known_by=found["by"],
    )


def _new(view: FeatureView, features: Sequence[Column]) -> str:
    columns = comma((*view.entity, *TIMES, *(c.name for c in features)))
    entity, moment = comma(view.entity), (*view.entity, "event_time")
    newest = f"""(FROM {{}} QUALIFY row_number() OVER (
        PARTITION BY {comma(moment)} ORDER BY available_at DESC) = 1)"""
    return f"""
        SELECT {columns} FROM _given AS g ANTI JOIN _held AS h
            ON {same("g", "h", (*moment, "available_at"))}
        UNION ALL
        SELECT {prefixed("g", (*view.entity, "event_time"))},
            greatest(?::TIMESTAMPTZ, h.available_at + to_microseconds(1)),
            {prefixed("g", (c.name for c in features))}
        FROM {newest.format("_given")} AS g JOIN {newest.format("_held")} AS h
            ON {same("g", "h", moment)}
        WHERE h.available_at >= g.available_at
            AND ({" OR ".join(_differs(c) for c in features)})
        ORDER BY {entity}"""


def _differs(feature: Column) -> str:
    new, old = f"g.{identifier(feature.name)}", f"h.{identifier(feature.name)}"
    if feature.dtype == "string":
        return f"{new} IS DISTINCT FROM {old}"
    near = f"abs({new} - {old}) <= {_SAME} * greatest(abs({new}), abs({old}))"
    return f"({new} IS DISTINCT FROM {old} AND NOT coalesce({near}, FALSE))"


def _require_times(view: FeatureView, backend: Backend) -> None:
    for column in TIMES:
        key = identifier(view.entity[0])
        missing, example = _first(
            backend,
            f"SELECT count(*), min({key}) FROM _given WHERE {column} IS NULL",
        )
        if missing:
            raise DataError(
                f"{counted(missing, 'row')} of {kind(view)} without {column}"
                f" ({view.entity[0]} {example!r} is one)",
                expected=f"a time in every row's {column}",
                next_step=f"filter them out, or fill {column}",
                location=view.location,
            )


def _require_once(view: FeatureView, backend: Backend) -> None:
    columns = (*view.entity, *TIMES)
    twice = _first(
        backend,
        f"SELECT {comma(columns)}, count(*) FROM _given GROUP BY ALL HAVING count(*) > 1 LIMIT 1",
    )
    if twice:
        *values, count = twice
        example = ", ".join(f"{c}={v}" for c, v in zip(columns, values, strict=True))
        raise DataError(
            f"{kind(view)} gives {count} rows for {example}",
            expected="one row per entity, event_time and available_at",
            next_step=f"aggregate by {', '.join(view.entity)} and available_at",
            location=view.location,
        )


def _first(backend: Backend, query: str) -> tuple[Any, ...]:
    """Return a query's first row, or nothing; by Arrow, whose times need no other library."""
    return tuple(column[0].as_py() for column in backend.raw_sql(query).to_arrow_table() if column)
