"""A table described for a person: its profile, with types as they are stored and shapes to draw."""

# ruff: noqa: S608 (queries are put together here; names and text are quoted)

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any, Final

from onward.core.sql import identifier
from onward.stages.validate.profile import profile

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

BARS: Final = 20
EXACT_ROWS: Final = 2_000_000
_REACH: Final = 1.5  # how far bars reach past the middle nine tenths, in widths of these


def describe(
    connection: DuckDBPyConnection,
    table: str,
    columns: Sequence[str] | None = None,
    *,
    personal: Sequence[str] = (),
) -> dict[str, Any]:
    """Profile `columns` of `table` (all, unless given) for someone to look at.

    It is `profile`'s answer, with ``distinct`` counted up to two million rows (``exact`` tells; an
    estimate beyond that), and besides, for every column, ``dtype`` (DuckDB's type); for texts
    ``lengths`` (the shortest's and the longest's); and ``bars``: for numbers and times ``counts``
    of rows in equally wide parts between ``low`` and ``high``, where the first and last bar also
    hold what lies beyond; for booleans the counts of false and true. Of `personal` columns nothing
    is told that is a value of theirs.
    """
    stored = {name: kind for name, kind, *_ in connection.execute(_describe(table)).fetchall()}
    chosen = list(stored) if columns is None else list(columns)
    found = profile(connection, table, chosen, personal=personal)
    spans = {
        name: span
        for name, facts in found["columns"].items()
        if facts["type"] in ("number", "time") and (span := _span(facts)) is not None
    }
    asked: dict[str, tuple[str, str]] = {}
    for name, facts in found["columns"].items():
        quoted = identifier(name)
        if name in spans:
            asked[name] = ("bars", _counts(quoted, facts["type"], stored[name], *spans[name]))
        elif facts["type"] == "boolean":
            asked[name] = ("bars", f"[{_where(f'NOT {quoted}')}, {_where(quoted)}]")
        elif facts["type"] == "string":
            asked[name] = ("lengths", f"[min(length({quoted})), max(length({quoted}))]")
    answers = _asked(connection, table, {name: sql for name, (_, sql) in asked.items()})
    exact = found["rows"] <= EXACT_ROWS
    distinct = _distinct(connection, table, found, exact=exact)
    described = {}
    for name, facts in found["columns"].items():
        more: dict[str, Any] = {"dtype": stored[name]}
        if name in distinct:
            more["distinct"] = distinct[name]
        if name in asked:
            what, answer = asked[name][0], answers[name]
            more[what] = _bars(facts, spans.get(name), answer) if what == "bars" else answer
        described[name] = {**facts, **more}
    return {"rows": found["rows"], "exact": exact, "columns": described}


def _distinct(
    connection: DuckDBPyConnection, table: str, found: Mapping[str, Any], *, exact: bool
) -> dict[str, int]:
    """Return how many values each column has: an estimate may be more than there are rows."""
    rows = found["rows"]
    told = {n: facts for n, facts in found["columns"].items() if "distinct" in facts}
    if not exact or not told:
        return {n: min(facts["distinct"], rows - facts["nulls"]) for n, facts in told.items()}
    listed = ", ".join(f"count(DISTINCT {identifier(name)})" for name in told)
    row = connection.execute(f"SELECT {listed} FROM {identifier(table)}").fetchone()
    assert row is not None
    return dict(zip(told, row, strict=True))


def moment(text: str) -> float:
    """Return a profile's time as seconds: since 1970 for dates and timestamps, else of the day."""
    if "-" not in text:
        of_day = time.fromisoformat(text)
        passed = timedelta(hours=of_day.hour, minutes=of_day.minute, seconds=of_day.second)
        return passed.total_seconds() + of_day.microsecond / 1e6
    found = datetime.fromisoformat(text)
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def _span(facts: Mapping[str, Any]) -> tuple[float, float] | None:
    """Return between which numbers bars are drawn; None where there is nothing between."""
    of = moment if facts["type"] == "time" else float
    ends = [facts["min"], facts["quantiles"]["0.05"], facts["quantiles"]["0.95"], facts["max"]]
    if any(end is None for end in ends):
        return None
    least, low, high, most = map(of, ends)
    reach = _REACH * (high - low)
    if reach:
        least, most = max(least, low - reach), min(most, high + reach)
    return (least, most) if least < most else None


def _counts(column: str, family: str, stored: str, low: float, high: float) -> str:
    value = f"{column}::DOUBLE"
    if family == "time":
        value = f"epoch({column})" if stored != "TIME" else f"epoch({column}::TIME)"
    step = (high - low) / BARS
    bounds = [*(repr(low + step * i) for i in range(1, BARS)), "inf"]
    known = f"CASE WHEN NOT isnan({value}) THEN {value} END"
    return f"map_values(histogram({known}, {bounds}::DOUBLE[]))"


def _where(test: str) -> str:
    return f"count(*) FILTER (WHERE {test})"


def _bars(
    facts: Mapping[str, Any], span: tuple[float, float] | None, counts: list[int]
) -> dict[str, Any]:
    if span is None:
        return {"counts": counts}
    low, high = span
    if facts["type"] == "number":
        return {"low": low, "high": high, "counts": counts}
    return {"low": _when(low, facts["min"]), "high": _when(high, facts["min"]), "counts": counts}


def _when(seconds: float, like: str) -> str:
    """Return seconds as text of the same kind as `like`: a time of day, a date or a timestamp."""
    if "-" not in like:
        return (datetime.min.replace(tzinfo=UTC) + timedelta(seconds=seconds)).time().isoformat()
    found = datetime.fromtimestamp(seconds, UTC)
    return date.isoformat(found.date()) if len(like) == len("2024-01-01") else found.isoformat()


def _asked(
    connection: DuckDBPyConnection, table: str, wanted: Mapping[str, str]
) -> dict[str, list[int]]:
    """Return lists of numbers by column from one query over all columns; empty where NULL."""
    if not wanted:
        return {}
    row = connection.execute(
        f"SELECT {', '.join(wanted.values())} FROM {identifier(table)}"
    ).fetchone()
    assert row is not None
    return {
        name: [] if value is None or None in value else list(value)
        for name, value in zip(wanted, row, strict=True)
    }


def _describe(table: str) -> str:
    return f"DESCRIBE {identifier(table)}"
