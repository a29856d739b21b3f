"""Rules that a table's own rows suggest: lines of a pipeline file, each with its evidence."""

# ruff: noqa: S608 (queries are put together here; names and text are quoted)

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from onward.core.sql import identifier
from onward.stages.validate.patterns import find_pattern

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

LEAST_ROWS: Final = 20
_VALUES: Final = 20  # a text with no more values than this may have a list of them
_ROWS_PER_VALUE: Final = 20
_SLACK: Final = 0.25  # of the range that was seen, on either side
_OLDEST: Final = timedelta(days=90)  # data that lags further is not kept fresh


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestion:
    """A check as a line of Python, the name that it gives itself, and what speaks for it."""

    name: str
    code: str
    evidence: str


def suggest(
    connection: DuckDBPyConnection,
    table: str,
    described: Mapping[str, Any],
    *,
    key: Sequence[str] = (),
    times: Sequence[str] = (),
) -> Iterator[Suggestion]:
    """Yield the checks that every row of `table` passes and that a stranger would break.

    `described` is the table's description. `key` and `times` are the source's: that they are
    present is audited anyhow. Of fewer than twenty rows nothing is learnt.
    """
    rows = described["rows"]
    if rows < LEAST_ROWS:
        return
    if key and _all_distinct(connection, table, key):
        yield _unique(key, f"all {rows:,} rows have a key of their own")
    for name, facts in described["columns"].items():
        if name not in (*key, *times):
            yield from _presence(name, facts, rows)
        if facts["type"] == "number" and name not in key:
            yield from _range(name, facts)
        if facts["type"] == "string":
            yield from _text(connection, table, name, facts, rows)
    yield from _in_order(connection, table, times)


def of_batches(
    sizes: Sequence[int], event_time: str, lags: Sequence[timedelta]
) -> Iterator[Suggestion]:
    """Yield checks that the batches so far suggest: how many rows come, and how late.

    `lags` are, for each batch, how old its newest row was when it was audited.
    """
    if sizes:
        least, most = _outwards(min(sizes) / 2, up=False), _outwards(2 * max(sizes), up=True)
        one = len(sizes) == 1
        seen = f"{min(sizes):,}" if one else f"{min(sizes):,} to {max(sizes):,}"
        name, rule = "the batch has a usual size", f"between({max(1, int(least))}, {int(most)})"
        yield Suggestion(
            name=name,
            code=f"ow.batch_check({quoted(name)}, _.count().{rule})",
            evidence=f"{'1 batch' if one else f'{len(sizes)} batches'} of {seen} rows",
        )
    if lags and timedelta(0) <= max(lags) <= _OLDEST:
        within = _duration(2 * max(lags))
        yield Suggestion(
            name=f"{event_time} is fresh",
            code=f"ow.fresh({quoted(event_time)}, within={quoted(within)})",
            evidence=f"the newest row was at most {_duration(max(lags))} old at each audit",
        )


def of_reference(column: str, to: str, values: int) -> Suggestion:
    """Return the check that `column` refers to ``dataset.column``."""
    return Suggestion(
        name=f"{column} is in {to}",
        code=f"ow.references({quoted(column)}, {quoted(to)})",
        evidence=f"all {values:,} values are there",
    )


def column(name: str) -> str:
    """Return how an expression names a column; in brackets where Ibis would see a method."""
    import ibis.expr.types as ir

    plain = name.isidentifier() and not hasattr(ir.Table, name)
    return f"_.{name}" if plain else f"_[{quoted(name)}]"


def quoted(text: str) -> str:
    """Return a text as Python writes it, in double quotes."""
    import json

    return json.dumps(text, ensure_ascii=False)


def _unique(names: Sequence[str], evidence: str) -> Suggestion:
    listed = ", ".join(names)
    return Suggestion(
        name=f"{listed} {'are' if len(names) > 1 else 'is'} unique",
        code=f"ow.unique({', '.join(quoted(name) for name in names)})",
        evidence=evidence,
    )


def _presence(name: str, facts: Mapping[str, Any], rows: int) -> Iterator[Suggestion]:
    known = rows - facts["nulls"]
    if known == rows:
        what = f"{name} is present"
        code = f"ow.check({quoted(what)}, {column(name)}.notnull())"
        yield Suggestion(name=what, code=code, evidence=f"all {rows:,} rows have one")
    elif known > rows / 2:
        least = math.floor(100 * known / rows * 0.95) / 100
        yield Suggestion(
            name=f"{name} is complete",
            code=f"ow.complete({quoted(name)}, at_least={least:g})",
            evidence=f"{known:,} of {rows:,} rows have one",
        )


def _range(name: str, facts: Mapping[str, Any]) -> Iterator[Suggestion]:
    least, most = facts["min"], facts["max"]
    if least is None or most is None or least == most:
        return
    slack = _SLACK * (most - least)
    whole = "INT" in facts["dtype"]
    low: float = 0 if 0 <= least < 2 * slack else _outwards(least - slack, up=False)
    high: float = 0 if -2 * slack < most <= 0 else _outwards(most + slack, up=True)
    what = "is plausible"
    if least >= 0 and most <= 1 and not whole:
        low, high, what = 0, 1, "is a share"
    if whole:
        low, high = math.floor(low), math.ceil(high)
    rule = f"{column(name)}.between({low}, {high})"
    if whole and (least, most) == (0, 1):
        what, rule = "is 0 or 1", f"{column(name)}.isin([0, 1])"
    told = f"{name} {what}"
    yield Suggestion(
        name=told,
        code=f"ow.check({quoted(told)}, {_or_missing(name, facts, rule)})",
        evidence=f"from {_short(least)} to {_short(most)}",
    )


def _text(
    connection: DuckDBPyConnection, table: str, name: str, facts: Mapping[str, Any], rows: int
) -> Iterator[Suggestion]:
    known, distinct = rows - facts["nulls"], facts["distinct"]
    if 0 < distinct <= _VALUES and known >= _ROWS_PER_VALUE * distinct:
        value = identifier(name)
        found = connection.execute(
            f"SELECT DISTINCT {value} FROM {identifier(table)} WHERE {value} IS NOT NULL ORDER BY 1"
        ).fetchall()
        listed = ", ".join(quoted(value) for (value,) in found)
        told, rule = f"{name} is known", f"{column(name)}.isin([{listed}])"
        evidence = f"{distinct} values in {known:,} rows"
    else:
        pattern = find_pattern(connection, table, name)
        if pattern is None:
            return
        plain = '"' not in pattern.expression
        expression = f'r"{pattern.expression}"' if plain else repr(pattern.expression)
        told, rule = f"{name} is {pattern.what}", f"{column(name)}.re_search({expression})"
        evidence = f"all {known:,} values match"
    yield Suggestion(
        name=told,
        code=f"ow.check({quoted(told)}, {_or_missing(name, facts, rule)})",
        evidence=evidence,
    )


def _in_order(
    connection: DuckDBPyConnection, table: str, times: Sequence[str]
) -> Iterator[Suggestion]:
    if len(set(times)) != 2:
        return
    first, then = times
    [(kept,)] = connection.execute(
        f"SELECT bool_and({identifier(first)} <= {identifier(then)}) FROM {identifier(table)}"
    ).fetchall()
    if kept:
        what = f"{first} is no later than {then}"
        code = f"ow.check({quoted(what)}, {column(first)} <= {column(then)})"
        yield Suggestion(name=what, code=code, evidence="so it is in every row")


def _all_distinct(connection: DuckDBPyConnection, table: str, names: Sequence[str]) -> bool:
    listed = ", ".join(identifier(name) for name in names)
    twice = connection.execute(
        f"SELECT 1 FROM {identifier(table)} GROUP BY {listed} HAVING count(*) > 1 LIMIT 1"
    ).fetchone()
    return twice is None


def _or_missing(name: str, facts: Mapping[str, Any], rule: str) -> str:
    """A rule is not held by NULL: where there were any, they are allowed."""
    return f"{rule} | {column(name)}.isnull()" if facts["nulls"] else rule


def _outwards(number: float, *, up: bool) -> float | int:
    """Round to two leading digits, away from the range; a whole number as an int."""
    if number == 0 or not math.isfinite(number):
        return 0 if number == 0 else number
    unit = 10.0 ** (math.floor(math.log10(abs(number))) - 1)
    found = (math.ceil if up else math.floor)(number / unit) * unit
    # The unit is no exact number below one: what is meant has so many digits.
    rounded = round(found, max(0, -math.floor(math.log10(unit))))
    return int(rounded) if rounded == int(rounded) else rounded


def _duration(passed: timedelta) -> str:
    """Write a duration in whole units, rounded up: ``36h``, ``3d``."""
    seconds = max(passed.total_seconds(), 1)
    for unit, size, enough in (("s", 1, 120), ("m", 60, 7200), ("h", 3600, 72 * 3600)):
        if seconds <= enough:
            return f"{math.ceil(seconds / size)}{unit}"
    return f"{math.ceil(seconds / 86_400)}d"


def _short(number: float) -> str:
    return f"{number:.6g}" if isinstance(number, float) else str(number)
