"""PostgreSQL through ADBC, which streams a query's answer by COPY."""

# ruff: noqa: S608 (queries are put together here; names and values are quoted)

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from onward.core.sql import identifier
from onward.core.sql import literal as quoted

if TYPE_CHECKING:
    import pyarrow as pa
    from adbc_driver_manager.dbapi import Cursor

TYPED = True

_AS_THEY_ARE: Final = (
    "bool", "int2", "int4", "int8", "float4", "float8", "text", "varchar", "bytea", "time",
)  # fmt: skip
_NUMBERS: Final = ("numeric", "money")
_TIMES: Final = ("date", "timestamp", "timestamptz")


@contextmanager
def connect(url: str, folder: Path) -> Iterator[Cursor]:  # noqa: ARG001 (a file's matter)
    """Open the database in a transaction that sees one state of it throughout."""
    from adbc_driver_postgresql import dbapi

    uri = "postgresql" + url[url.index("://") :]
    with dbapi.connect(uri, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        yield cursor
        cursor.execute("ROLLBACK")


def selected(cursor: Cursor, relation: str, where: str) -> str:
    """Return a query for the rows in which numbers are doubles and what Arrow lacks is text."""
    schema = cursor.adbc_execute_schema(f"SELECT * FROM {relation}")
    columns = ", ".join(f"{_expression(f)} AS {identifier(f.name)}" for f in schema)
    return f"SELECT {columns} FROM {relation} WHERE {where}"


def rows(cursor: Cursor, query: str) -> pa.RecordBatchReader:
    """Run a query in a stream."""
    cursor.execute(query)
    return cursor.fetch_record_batch()


def names(cursor: Cursor, schema: str | None) -> Sequence[str]:
    """Return the tables and views of a schema, or those that are found without one."""
    place = f"nspname = {quoted(schema)}" if schema else "pg_table_is_visible(pg_class.oid)"
    cursor.execute(
        "SELECT relname::text FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace "
        f"WHERE relkind IN ('r', 'v', 'm', 'p', 'f') AND nspname <> 'pg_catalog' AND {place}"
    )
    return [name for (name,) in cursor.fetchall()]


def literal(value: Any) -> str:
    """Return a value as a literal that takes its type from what it is compared with."""
    return quoted(value.isoformat() if isinstance(value, date) else str(value))


def value(scalar: pa.Scalar) -> Any:
    """Return a value in Python's type, a ``numeric`` as a decimal."""
    found = scalar.as_py()
    named = getattr(scalar.type, "type_name", None)
    return Decimal(found) if named == "numeric" and found is not None else found


def _expression(field: pa.Field) -> str:
    import pyarrow as pa

    column, kind = identifier(field.name), (field.metadata or {}).get(b"POSTGRESQL:type", b"")
    if kind.decode() in _AS_THEY_ARE:
        return column
    if kind.decode() in _NUMBERS:
        return f"{column}::numeric::double precision"
    if kind.decode() in _TIMES:  # infinity has no place in Arrow, and stands for no bound
        return f"CASE WHEN isfinite({column}) THEN {column} END"
    nested = pa.types.is_nested(field.type)
    return f"to_json({column})::text" if nested else f"{column}::text"
