"""A batch's profile: what each column holds, in plain JSON values."""

# ruff: noqa: S608 (queries are put together here; names and text are quoted)

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection
QUANTILES: Final = (0.05, 0.25, 0.5, 0.75, 0.95)
_SAMPLE_ROWS: Final = 100_000
_TOP: Final = 10
_NUMBERS: Final = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "FLOAT", "DOUBLE")


def profile(connection: DuckDBPyConnection, table: str, columns: Sequence[str]) -> dict[str, Any]:
    """Profile `columns` of `table`, in one pass and a sample of about 100,000 rows.

    Returns ``{"rows": n, "columns": {name: {...}}}``. Every column has ``type`` (number, boolean,
    time, string or other) and ``nulls``, all but others ``distinct`` (approximate, HyperLogLog);
    numbers and times have ``min`` and ``max``, numbers and booleans ``mean``, numbers ``std``.
    From the sample come ``quantiles`` of numbers and times, and the ``top`` values of strings, as
    [value, share of the rows].
    """
    described = connection.execute(f"DESCRIBE {_quoted(table)}").fetchall()
    kinds = {name: _family(kind) for name, kind, *_ in described if name in columns}
    exact = _aggregate(connection, table, {n: _facts(_quoted(n), k) for n, k in kinds.items()})
    [(rows,)] = connection.execute(f"SELECT count(*) FROM {_quoted(table)}").fetchall()
    sample = _sample(connection, table, rows)
    quantiles = _aggregate(
        connection,
        sample,
        {
            n: {"quantiles": f"quantile_disc({_quoted(n)}, {list(QUANTILES)})"}
            for n, kind in kinds.items()
            if kind in ("number", "time")
        },
    )
    top = {n: {"top": _top(connection, sample, n)} for n, kind in kinds.items() if kind == "string"}
    return {
        "rows": rows,
        "columns": {
            name: {"type": kind}
            | {
                fact: _plain(fact, value)
                for facts in (exact, quantiles, top)
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
        f"CREATE OR REPLACE TEMP TABLE _sample AS SELECT * FROM {_quoted(table)} "
        f"USING SAMPLE {percent:.6f} PERCENT (bernoulli)"
    )
    return "_sample"


def _top(connection: DuckDBPyConnection, sample: str, column: str) -> list[list[Any]]:
    name = _quoted(column)
    found = connection.execute(
        f"SELECT {name}, n / sum(n) OVER () FROM "
        f"(SELECT {name}, count(*) AS n FROM {_quoted(sample)} GROUP BY ALL) "
        f"QUALIFY {name} IS NOT NULL ORDER BY n DESC, {name} LIMIT {_TOP}"
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
    answer = connection.execute(f"SELECT {listed} FROM {_quoted(table)}").to_arrow_table()
    found: dict[str, dict[str, Any]] = {name: {} for name in wanted}
    for (name, fact, _), value in zip(flat, answer.to_pylist()[0].values(), strict=True):
        found[name][fact] = value
    return found


def _plain(fact: str, value: Any) -> Any:
    """Return a fact as JSON has it: times in ISO 8601, and null for what is not finite."""
    if fact == "quantiles":
        of_each = value or [None] * len(QUANTILES)
        return {str(q): _plain("", v) for q, v in zip(QUANTILES, of_each, strict=True)}
    if fact == "top":
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


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
