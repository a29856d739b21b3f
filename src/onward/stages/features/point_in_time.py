"""The point-in-time join: each spine row with the features that were known at its event time.

A view's row becomes known at ``known_at = greatest(event_time, available_at)``. At a spine row's
time t it is usable if ``known_at <= t`` and its age ``t - event_time`` is at most the view's time
to live, that age included. Of the usable rows of the same entity the newest by
``(event_time, available_at)`` is joined; without one the features are NULL. The newest known row
is usable whenever any is, so age is judged once, after the choice.

Why one ``ASOF JOIN`` is exact
    Order an entity's rows by ``known_at`` and call a row *in order* if it is the newest of all
    rows known no later than itself. What is known at t is a prefix of that order. The prefix's
    newest row is in order; every row in order that comes after it in the prefix would be newer
    still, so it is the last one. Hence joining the last row in order with ``known_at <= t``,
    which is what ``ASOF`` does, joins the newest known row. No two rows in order share a
    ``known_at``, so the join is never ambiguous.

Why the mark may be written with the row
    Whether a row is in order depends only on rows known no later than itself, and rows are never
    taken away. A row that is out of order stays so. One that is in order can lose that only to a
    row written later that was known before it: a backfill. Publishing looks for that (see
    `publication`); where it happened the marks are computed anew by one window pass in the query.
"""

# ruff: noqa: S608 (identifiers are quoted)
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from onward.core.records import ViewPlan
from onward.core.sql import identifier, literal
from onward.stages.features.sql import comma, same

if TYPE_CHECKING:
    import pyarrow as pa

IN_ORDER: Final = "_in_order"
REFUSED: Final = "_refused"
"""The joined column that is true where a policy gives no answer; there only if one may do so."""

_MICROSECONDS: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """A view to join: its rows are in `relation`; `marked` says that their marks still hold."""

    view: ViewPlan
    relation: str
    marked: bool

    def column(self, feature: str) -> str:
        """Return the name under which one of the view's features is joined."""
        return column(self.view, feature)


def column(view: ViewPlan, feature: str) -> str:
    """Return a view's feature as a model's vector names it."""
    return f"{view.name}__{feature}"


def join(connection: Any, spine: pa.Table, views: Sequence[Joined]) -> pa.Table:
    """Join `views` to a spine of shape (n_rows, entity columns and ``event_time``).

    Returns a table of shape (n_rows, features), its rows in the spine's order, one for each, with
    a column `REFUSED` if a view's policy may refuse. `connection` is DuckDB's, on which the views'
    relations stand.
    """
    import numpy as np

    if not views:
        return spine.select([])
    keys = dict.fromkeys(key for joined in views for key in joined.view.entity)
    narrow = spine.select([*keys, "event_time"])
    narrow = narrow.append_column("_row", [np.arange(spine.num_rows)])
    # As a table its size is known: taking Arrow rows for a handful, DuckDB joins in a nested loop.
    connection.register("_narrow", narrow)
    connection.execute("CREATE OR REPLACE TEMP TABLE _spine AS FROM _narrow")
    connection.unregister("_narrow")
    return connection.execute(query("_spine", views)).to_arrow_table()


def query(spine: str, views: Sequence[Joined]) -> str:
    """Return the join as one DuckDB query; rows come in the order of the spine's ``_row``."""
    features = [
        f"{_by_policy(joined.view, f'v{i}', at)} AS {identifier(joined.column(feature))}"
        for i, joined in enumerate(views)
        for at, feature in enumerate(joined.view.columns)
    ]
    refusals = [each for i, joined in enumerate(views) for each in _refusals(joined.view, f"v{i}")]
    if refusals:
        features.append(f"coalesce({' OR '.join(refusals)}, FALSE) AS {REFUSED}")
    joins = [
        f"ASOF LEFT JOIN ({_rows(joined)}) AS v{i}"
        f" ON {same('s', f'v{i}', joined.view.entity)} AND s.event_time >= v{i}.known_at"
        for i, joined in enumerate(views)
    ]
    return f"SELECT {', '.join(features)} FROM {spine} AS s {' '.join(joins)} ORDER BY s._row"


def marks(relation: str, entity: Sequence[str]) -> str:
    """Return a query for `relation` with each row's ``known_at`` and whether it is in order.

    The last of the rows with one ``known_at`` is their newest, and it is in order if no row known
    before has a later event time. One that has the same event time was available earlier.
    """
    return f"""
        SELECT *, event_time >= max(event_time) OVER known
            AND lead(known_at) OVER known IS DISTINCT FROM known_at AS {IN_ORDER}
        FROM (SELECT *, greatest(event_time, available_at) AS known_at FROM {relation})
        WINDOW known AS (
            PARTITION BY {comma(entity)} ORDER BY known_at, event_time, available_at
            ROWS UNBOUNDED PRECEDING
        )"""


def _rows(joined: Joined) -> str:
    """Return the query for a view's rows in order."""
    view = joined.view
    columns = comma((*view.entity, "event_time", *view.columns))
    if joined.marked:
        return (
            f"SELECT {columns}, greatest(event_time, available_at) AS known_at"
            f" FROM {joined.relation} WHERE {IN_ORDER}"
        )
    # What was out of order stays so, and hides nothing that what hides it does not hide as well.
    unmarked = f"(SELECT * EXCLUDE ({IN_ORDER}) FROM {joined.relation} WHERE {IN_ORDER})"
    return f"SELECT {columns}, known_at FROM ({marks(unmarked, view.entity)}) WHERE {IN_ORDER}"


def _by_policy(view: ViewPlan, row: str, at: int) -> str:
    """Return the expression for the view's feature number `at`, of the joined row or instead."""
    value = f"{row}.{identifier(view.columns[at])}"
    default = _literal(view.defaults[at]) if view.defaults else "NULL"
    stale = {"default": default, "last": value}.get(view.on_stale, "NULL")
    missing = default if view.on_missing == "default" else "NULL"
    cases = f"WHEN {_stale(view, row)} THEN {stale} " if view.ttl_s is not None else ""
    if missing != "NULL":
        cases = f"WHEN {_missing(row)} THEN {missing} {cases}"
    return f"CASE {cases}ELSE {value} END" if cases else value


def _refusals(view: ViewPlan, row: str) -> list[str]:
    """Return the conditions on which the view's policy refuses a spine row."""
    found = [_missing(row)] if view.on_missing == "error" else []
    if view.on_stale == "error" and view.ttl_s is not None:
        found.append(_stale(view, row))
    return found


def _missing(row: str) -> str:
    return f"{row}.event_time IS NULL"


def _stale(view: ViewPlan, row: str) -> str:
    assert view.ttl_s is not None
    ttl = round(view.ttl_s * _MICROSECONDS)
    return f"epoch_us(s.event_time) - epoch_us({row}.event_time) > {ttl}"


def _literal(value: float | str | None) -> str:
    if value is None:
        return "NULL"
    return literal(value) if isinstance(value, str) else f"{value!r}::DOUBLE"
