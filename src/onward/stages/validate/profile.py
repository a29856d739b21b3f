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
_TOP: Final = 10
_NUMBERS: Final = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "FLOAT", "DOUBLE")


def profile(connection: DuckDBPyConnection, table: str, columns: Sequence[str]) -> dict[str, Any]:
    """Profile `columns` of `table` in one pass, and count its most frequent texts in another.

    Returns ``{"rows": n, "columns": {name: {...}}}``. Every column has ``type`` (number, boolean,
    time, string or other) and ``nulls``, all but others ``distinct`` (approximate, HyperLogLog);
    numbers and times have ``min``, ``max`` and ``quantiles`` (approximate, t-digest), numbers and
    booleans ``mean``, numbers ``std``, strings ``top``: [value, rows] of about the most frequent.
    """
    kinds = {
        row[0]: _family(row[1])
        for row in connection.execute(f"DESCRIBE {_quoted(table)}").fetchall()
        if row[0] in columns
    }
    of_each = [_facts(_quoted(name), kind) for name, kind in kinds.items()]
    rows, found = _aggregate(connection, table, of_each)
    counted = [
        {"top": _histogram(_quoted(name), facts["top"])} if facts.get("top") else {}
        for name, facts in zip(kinds, found, strict=True)
    ]
    if any(counted):
        _, frequent = _aggregate(connection, table, counted)
        for facts, top in zip(found, frequent, strict=True):
            if top:
                facts["top"] = sorted(top["top"], key=lambda pair: (-pair[1], pair[0]))
    return {
        "rows": rows,
        "columns": {
            name: {"type": kind} | {fact: _plain(fact, value) for fact, value in facts.items()}
            for (name, kind), facts in zip(kinds.items(), found, strict=True)
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
        facts["quantiles"] = f"approx_quantile({usual}, {list(QUANTILES)})"
    elif kind == "time":
        facts["quantiles"] = f"approx_quantile({column}, {list(QUANTILES)})"
    elif kind == "boolean":
        facts["mean"] = f"avg({column}::INTEGER)"
    elif kind == "string":
        facts["top"] = f"approx_top_k({column}, {_TOP})"
    return facts


def _histogram(column: str, values: Sequence[str]) -> str:
    listed = ", ".join("'" + value.replace("'", "''") + "'" for value in values)
    return f"histogram(CASE WHEN {column} IN ({listed}) THEN {column} END)"


def _aggregate(
    connection: DuckDBPyConnection, table: str, of_each: Sequence[Mapping[str, str]]
) -> tuple[int, list[dict[str, Any]]]:
    """Return the number of rows, and each column's facts from one query over all columns."""
    wanted = ["count(*) AS rows"]
    for i, facts in enumerate(of_each):
        wanted += [f'{expression} AS "{i}.{fact}"' for fact, expression in facts.items()]
    query = f"SELECT {', '.join(wanted)} FROM {_quoted(table)}"
    [row] = connection.execute(query).to_arrow_table().to_pylist()
    found = [{fact: row[f"{i}.{fact}"] for fact in facts} for i, facts in enumerate(of_each)]
    return row["rows"], found


def _plain(fact: str, value: Any) -> Any:
    """Return a fact as JSON has it: times in ISO 8601, and null for what is not finite."""
    if fact == "quantiles":
        of_each = value or [None] * len(QUANTILES)
        return {str(q): _plain("", v) for q, v in zip(QUANTILES, of_each, strict=True)}
    if fact == "top":
        return [list(pair) for pair in value or ()]
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
