"""Reading values as their column's type, and keeping the text of those that cannot be read."""

# ruff: noqa: S608 (queries are put together here; names and text are quoted)

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from onward.core.records import UNREADABLE
from onward.stages.ingest.scan import Scan, identifier, literal

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
_ABSENT: Final = "['', 'NA', 'N/A', 'NaN', 'nan', 'NULL', 'null', 'None']"
_INTEGERS: Final = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER")
_WIDE: Final = ("UBIGINT", "HUGEINT", "UHUGEINT")


@dataclass(frozen=True, slots=True)
class Column:
    """SQL over a scan: a column's value, and whether the value that came cannot be read."""

    name: str
    value: str
    text: str
    unreadable: str | None


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


def infer(connection: DuckDBPyConnection, scan: Scan) -> dict[str, str]:
    """Return the type that all values of each column have: what the format says, or text's looks.

    Text that all reads as whole numbers is int64, as numbers double, as true and false bool, as
    ISO dates date, as ISO times a timestamp. Numbers with leading zeros are codes, thus text.
    """
    kinds = {name: normal(kind) for name, kind in scan.types.items()}
    unknown = [name for name in scan.columns if name not in kinds]
    if unknown:
        looks = ", ".join(f"{_look(identifier(name))} AS {identifier(name)}" for name in unknown)
        row = connection.execute(f"SELECT {looks} FROM ({scan.sql})").fetchone()
        assert row is not None
        kinds |= dict(zip(unknown, row, strict=True))
    return {name: kinds[name] for name in scan.columns}


def read_as(name: str, source: str, target: str) -> Column:
    """Return how to read a scan's column of type `source` as `target`."""
    quoted = identifier(name)
    text = _text(quoted, source)
    if target == "VARCHAR":
        return Column(name, text, text, None)
    if _casts_safely(source, target):
        value = f"CAST({quoted} AS {target})"
        if target == "DOUBLE":
            value = f"nullif({value}, 'nan'::DOUBLE)"
        return Column(name, value, text, None)
    value = f"CASE WHEN trim({text}) NOT IN {_ABSENT} THEN {_attempt(text, target)} END"
    unreadable = f"({text} IS NOT NULL AND trim({text}) NOT IN {_ABSENT} AND {value} IS NULL)"
    return Column(name, value, text, unreadable)


def reading(
    connection: DuckDBPyConnection,
    scan: Scan,
    types: Mapping[str, str],
    *,
    hidden: Collection[str] = (),
) -> str:
    """Return the query that reads a scan's columns as `types`, in their order.

    It has the column `UNREADABLE` only where there is a value that cannot be read; of the columns
    `hidden` it does not say which, and with any of a row that could not be told apart neither.
    Last comes the scan's `part`, if it has one.
    """
    columns = [read_as(name, scan.columns[name], kind) for name, kind in types.items()]
    selected = [f"{c.value} AS {identifier(c.name)}" for c in columns]
    told = {str(c.unreadable): _told(c, hidden) for c in columns if c.unreadable}
    if scan.unreadable:
        told[f"{UNREADABLE} IS NOT NULL"] = literal("value=(masked)") if hidden else UNREADABLE
    if told:
        found = connection.execute(
            f"SELECT count(*) FROM (SELECT 1 FROM ({scan.sql}) WHERE {' OR '.join(told)} LIMIT 1)"
        ).fetchone()
        if found and found[0]:
            texts = ", ".join(f"CASE WHEN {test} THEN {text} END" for test, text in told.items())
            selected.append(f"nullif(concat_ws('; ', {texts}), '') AS {UNREADABLE}")
    if scan.part:
        selected.append(identifier(scan.part))
    return f"SELECT {', '.join(selected)} FROM ({scan.sql})"


def _told(column: Column, hidden: Collection[str]) -> str:
    if column.name in hidden:
        return literal(f"{column.name}=(masked)")
    return f"{literal(column.name + '=')} || {column.text}"


def readable_as_time(connection: DuckDBPyConnection, scan: Scan, name: str) -> bool:
    """Tell whether any of a column's values can be read as a timestamp."""
    column = read_as(name, scan.columns[name], TIMESTAMP)
    found = connection.execute(
        f"SELECT count({column.value}), count(*) FILTER ({column.unreadable or 'false'}) "
        f"FROM ({scan.sql})"
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
    tried = f"TRY_CAST({text} AS {target})"
    if target == "BIGINT":  # DuckDB would round 1.5 to 2
        return f"CASE WHEN TRY_CAST({text} AS DOUBLE) = {tried} THEN {tried} END"
    if target == "DATE":  # and would cut a time off
        return f"CASE WHEN TRY_CAST({text} AS {TIMESTAMP}) = {tried} THEN {tried} END"
    return tried


def _look(quoted: str) -> str:
    trimmed = f"trim({quoted})"
    among = f"FILTER ({trimmed} NOT IN {_ABSENT})"
    a_number = f"TRY_CAST({quoted} AS DOUBLE) IS NOT NULL"
    cases = {
        "BIGINT": rf"regexp_full_match({trimmed}, '[+-]?(0|[1-9]\d*)') "
        f"AND TRY_CAST({quoted} AS BIGINT) IS NOT NULL",
        "DOUBLE": rf"{a_number} AND NOT regexp_matches({trimmed}, '^[+-]?0\d')",
        "BOOLEAN": f"lower({trimmed}) IN ('true', 'false')",
        "DATE": rf"regexp_full_match({trimmed}, '\d+-\d+-\d+') "
        f"AND TRY_CAST({quoted} AS DATE) IS NOT NULL",
        TIMESTAMP: rf"regexp_matches({trimmed}, '^\d+-\d+-\d+') "
        f"AND TRY_CAST({quoted} AS {TIMESTAMP}) IS NOT NULL",
    }
    whens = " ".join(f"WHEN bool_and({test}) {among} THEN '{k}'" for k, test in cases.items())
    return f"CASE {whens} ELSE 'VARCHAR' END"
