"""A batch's profile: what each column holds, in plain JSON values."""

# ruff: noqa: S608 (queries are put together here; names and text are quoted)

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from onward.core.sql import identifier

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection
QUANTILES: Final = (0.05, 0.25, 0.5, 0.75, 0.95)
BINS: Final = 20
_SAMPLE_ROWS: Final = 100_000
_TOP: Final = 10
_NUMBERS: Final = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "FLOAT", "DOUBLE")


def profile(
    connection: DuckDBPyConnection,
    table: str,
    columns: Sequence[str],
    *,
    personal: Sequence[str] = (),
) -> dict[str, Any]:
    """Profile `columns` of `table`, in one pass and a sample of about 100,000 rows.

    Returns ``{"rows": n, "columns": {name: {...}}}``. Every column has ``type`` (number, boolean,
    time, string or other) and ``nulls``, all but others ``distinct`` (approximate, HyperLogLog);
    numbers and times have ``min`` and ``max``, numbers and booleans ``mean``, numbers ``std``.
    From the sample come ``quantiles`` of numbers and times, the ``top`` values of strings, as
    [value, share of the rows], and a ``histogram`` of numbers: ``counts`` of the sample in the
    bins (-inf, e0], (e0, e1], …, (ek, inf) of its ``edges``, and last of what is missing.
    Of `personal` columns nothing is told that is a value of theirs.
    """
    described = connection.execute(f"DESCRIBE {identifier(table)}").fetchall()
    kinds = {name: _family(kind) for name, kind, *_ in described if name in columns}
    # What is of no kind gets counts alone, and never a value.
    told = {n: "other" if n in personal else kind for n, kind in kinds.items()}
    exact = _aggregate(connection, table, {n: _facts(identifier(n), k) for n, k in told.items()})
    [(rows,)] = connection.execute(f"SELECT count(*) FROM {identifier(table)}").fetchall()
    sample = _sample(connection, table, rows)
    quantiles = _aggregate(
        connection,
        sample,
        {
            n: {"quantiles": f"quantile_disc({identifier(n)}, {list(QUANTILES)})"}
            for n, kind in told.items()
            if kind in ("number", "time")
        },
    )
    histograms = {
        n: {"histogram": _histogram(connection, sample, n)}
        for n, kind in told.items()
        if kind == "number"
    }
    top = {n: {"top": _top(connection, sample, n)} for n, kind in told.items() if kind == "string"}
    return {
        "rows": rows,
        "columns": {
            name: {"type": kind}
            | {
                fact: _plain(fact, value)
                for facts in (exact, quantiles, histograms, top)
                for fact, value in facts.get(name, {}).items()
            }
            for name, kind in kinds.items()
        },
    }


def _facts(column: str, kind: str) -> dict[str, str]:
    facts = {"nulls": f"count(*) - count({column})"}
    if kind != "other":
        facts["distinct"] = f"approx_count_distinct({column})"
    if kind in ("number", "time"):
        facts |= {"min": f"min({column})", "max": f"max({column})"}
    if kind == "number":
        # Squares beyond this overflow, and DuckDB raises rather than answer inf.
        usual = f"CASE WHEN abs({column}::DOUBLE) < 1e150 THEN {column}::DOUBLE END"
        facts |= {"mean": f"avg({usual})", "std": f"stddev_samp({usual})"}
    elif kind == "boolean":
        facts["mean"] = f"avg({column}::INTEGER)"
    return facts


def _sample(connection: DuckDBPyConnection, table: str, rows: int) -> str:
    if rows <= _SAMPLE_ROWS:
        return table
    percent = 100 * _SAMPLE_ROWS / rows
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE _sample AS SELECT * FROM {identifier(table)} "
        f"USING SAMPLE {percent:.6f} PERCENT (bernoulli)"
    )
    return "_sample"


def histogram(value: str, edges: Sequence[float]) -> str:
    """Return the SQL aggregate that counts a number in the bins of `edges`; NULL without any.

    What is missing, NaN with it, is in no bin.
    """
    number = f"{value}::DOUBLE"
    bounds = [*map(repr, map(float, edges)), "inf"]
    known = f"CASE WHEN NOT isnan({number}) THEN {number} END"
    return f"map_values(histogram({known}, {bounds}::DOUBLE[]))"


def _histogram(connection: DuckDBPyConnection, sample: str, column: str) -> dict[str, Any]:
    """Cut a column at its vigintiles; a value that holds several has a bin alone."""
    name = identifier(column)
    finite = f"FROM {identifier(sample)} WHERE isfinite({name}::DOUBLE)"
    cuts = [i / BINS for i in range(1, BINS)]
    [(found,)] = connection.execute(
        f"SELECT quantile_disc({name}::DOUBLE, {cuts}) {finite}"
    ).fetchall()
    held = Counter(found or ())
    below = {math.nextafter(value, -math.inf) for value, times in held.items() if times > 1}
    edges = sorted(held.keys() | below)
    asked = f"SELECT count(*), {histogram(name, edges)} FROM {identifier(sample)}"
    [(rows, counts)] = connection.execute(asked).fetchall()
    known = counts or [0] * (len(edges) + 1)
    return {"edges": edges, "counts": [*known, rows - sum(known)]}


def _top(connection: DuckDBPyConnection, sample: str, column: str) -> list[list[Any]]:
    name = identifier(column)
    found = connection.execute(
        f"SELECT value, held / sum(held) OVER () FROM "
        f"(SELECT {name} AS value, count(*) AS held FROM {identifier(sample)} GROUP BY 1) "
        f"QUALIFY value IS NOT NULL ORDER BY held DESC, value LIMIT {_TOP}"
    ).fetchall()
    return [list(row) for row in found]


def _aggregate(
    connection: DuckDBPyConnection, table: str, wanted: Mapping[str, Mapping[str, str]]
) -> dict[str, dict[str, Any]]:
    """Return facts by column from one query over all columns."""
    flat = [(name, fact, sql) for name, facts in wanted.items() for fact, sql in facts.items()]
    if not flat:
        return {}
    listed = ", ".join(f'{sql} AS "{i}"' for i, (_, _, sql) in enumerate(flat))
    answer = connection.execute(f"SELECT {listed} FROM {identifier(table)}").to_arrow_table()
    found: dict[str, dict[str, Any]] = {name: {} for name in wanted}
    for (name, fact, _), value in zip(flat, answer.to_pylist()[0].values(), strict=True):
        found[name][fact] = value
    return found


def _plain(fact: str, value: Any) -> Any:
    """Return a fact as JSON has it: times in ISO 8601, and null for what is not finite."""
    if fact == "quantiles":
        of_each = value or [None] * len(QUANTILES)
        return {str(q): _plain("", v) for q, v in zip(QUANTILES, of_each, strict=True)}
    if fact in ("top", "histogram"):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    return value


def _family(kind: str) -> str:
    if kind in _NUMBERS or (kind.startswith("DECIMAL") and not kind.endswith("]")):
        return "number"
    if kind in ("DATE", "TIME") or (kind.startswith("TIMESTAMP") and not kind.endswith("]")):
        return "time"
    return {"BOOLEAN": "boolean", "VARCHAR": "string"}.get(kind, "other")
