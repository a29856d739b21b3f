"""Reading values as their column's type, and keeping the text of those that cannot be read."""

# ruff: noqa: S608 (queries are put together here; names and text are quoted)

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from onward.core.sql import identifier
from onward.stages.ingest.scan import Scan

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

TIMESTAMP: Final = "TIMESTAMP WITH TIME ZONE"

TYPES: Final = {
    "int64": "BIGINT",
    "double": "DOUBLE",
    "bool": "BOOLEAN",
    "string": "VARCHAR",
    "timestamp": TIMESTAMP,
    "date": "DATE",
    "time": "TIME",
    "binary": "BLOB",
}
"""DuckDB's name of each type that a source's column can have, by Arrow's."""

# A list, not a row of values: DuckDB would join with those, and rows lose their order in a join.
ABSENT: Final = "['', 'NA', 'N/A', 'NaN', 'nan', 'NULL', 'null', 'None']"
"""SQL for the texts, without spaces around them, that stand for no value unless it is text."""

_INTEGERS: Final = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER")
_WIDE: Final = ("UBIGINT", "HUGEINT", "UHUGEINT")


@dataclass(frozen=True, slots=True)
class Column:
    """SQL over a scan: a column's value, and the text that came.

    Of a `doubtful` column that text may be such as cannot be read: `unreadable` tells.
    """

    name: str
    value: str
    text: str
    doubtful: bool


def normal(kind: str) -> str:
    """Return the type as which a DuckDB type is stored; a nested value is stored as JSON text."""
    if kind in _INTEGERS or kind in _WIDE:
        return "BIGINT"
    if kind in ("FLOAT", "DOUBLE") or (kind.startswith("DECIMAL") and not kind.endswith("]")):
        return "DOUBLE"
    if kind.startswith("TIMESTAMP") and not kind.endswith("]"):
        return TIMESTAMP
    return kind if kind in TYPES.values() else "VARCHAR"


def published_types(schema: pa.Schema) -> dict[str, str]:
    """Return the DuckDB types of a published table's columns."""
    return {
        f.name: TIMESTAMP if str(f.type).startswith("timestamp") else _of_arrow(str(f.type))
        for f in schema
    }


def read_as(name: str, source: str, target: str) -> Column:
    """Return how to read a scan's column of type `source` as `target`."""
    quoted = identifier(name)
    text = _text(quoted, source)
    if target == "VARCHAR":
        return Column(name, text, text, doubtful=False)
    if _casts_safely(source, target):
        value = f"CAST({quoted} AS {target})"
        if target == "DOUBLE":
            value = f"nullif({value}, 'nan'::DOUBLE)"
        return Column(name, value, text, doubtful=False)
    return Column(name, _attempt(text, target), text, doubtful=True)


def unreadable(value: str, text: str) -> str:
    """Return SQL for whether `text`, of which reading made `value`, cannot be read."""
    return (
        f"CASE WHEN {value} IS NULL AND {text} IS NOT NULL "
        f"THEN trim({text}) NOT IN {ABSENT} ELSE FALSE END"
    )


def readable_as_time(connection: DuckDBPyConnection, scan: Scan, name: str) -> bool:
    """Tell whether any of a column's values can be read as a timestamp."""
    column = read_as(name, scan.columns[name], TIMESTAMP)
    lost = unreadable(column.value, column.text) if column.doubtful else "FALSE"
    found = connection.execute(
        f"SELECT count({column.value}), count(*) FILTER ({lost}) FROM ({scan.sql})"
    ).fetchone()
    assert found is not None
    return bool(found[0]) or not found[1]


def _of_arrow(kind: str) -> str:
    if kind.startswith("time64"):
        return "TIME"
    return TYPES.get(kind.removeprefix("large_").removesuffix("32[day]"), "VARCHAR")


def _text(quoted: str, source: str) -> str:
    if source == "VARCHAR":
        return quoted
    nested = source.endswith("]") or source.startswith(("STRUCT", "MAP", "UNION"))
    return f"CAST({f'to_json({quoted})' if nested else quoted} AS VARCHAR)"


def _casts_safely(source: str, target: str) -> bool:
    if source in _WIDE:
        return target == "DOUBLE"
    stored = normal(source)
    return stored == target != "VARCHAR" or (stored, target) in (
        ("BIGINT", "DOUBLE"),
        ("DATE", TIMESTAMP),
    )


def _attempt(text: str, target: str) -> str:
    """Return SQL for text's value; NULL where it is none, or no value of the type."""
    tried = f"TRY_CAST({text} AS {target})"
    # To trim costs more than to read: it is done where what is absent could be read, as bytes, NaN.
    there = f"CASE WHEN trim({text}) NOT IN {ABSENT} THEN {tried} END"
    if target == "BIGINT":  # DuckDB would round 1.5 to 2
        return f"CASE WHEN TRY_CAST({text} AS DOUBLE) = {tried} THEN {tried} END"
    if target == "DATE":  # and would cut a time off; it fails on a date that is no time's, if asked
        at = f"TRY_CAST({text} AS {TIMESTAMP})"
        exact = f"CASE WHEN {at} = {tried} THEN {tried} END"
        return f"CASE WHEN {at} IS NOT NULL THEN {exact} END"
    if target == "DOUBLE":
        return f"CASE WHEN isnan({tried}) THEN {there} ELSE {tried} END"
    return there if target == "BLOB" else tried
