"""SQLite through ADBC. A column's values may be of any type, so they are asked before."""

# ruff: noqa: S608 (queries are put together here; names and values are quoted)

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from onward.core.errors import DataError, DeclarationError
from onward.core.sql import identifier
from onward.core.sql import literal as quoted

if TYPE_CHECKING:
    import pyarrow as pa
    from adbc_driver_manager.dbapi import Cursor

TYPED = False

_BATCH_ROWS: Final = 65_536
_TYPES: Final = ("integer", "real", "text", "blob")


@contextmanager
def connect(url: str, folder: Path) -> Iterator[Cursor]:
    """Open the database file, relative to the project's folder, for reading.

    Raises
    ------
    DataError, DeclarationError
        There is no such file, or the url names none.
    """
    from adbc_driver_sqlite import dbapi

    name = url.partition("://")[2].removeprefix("/")
    if not name:
        raise DeclarationError(
            f"{url!r} names no file",
            expected="sqlite:///data/shop.db, or sqlite:////absolute/path/shop.db",
        )
    path = folder / name
    if not path.is_file():
        raise DataError(
            f"there is no database {path}", expected="a path relative to the project's folder"
        )
    uri = f"file:{quote(str(path))}?mode=ro"
    with dbapi.connect(uri, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute("BEGIN")
        yield cursor
        cursor.execute("ROLLBACK")


def selected(cursor: Cursor, relation: str, where: str) -> str:
    """Return a query for the rows in which each column is of one type: its own, or text.

    The driver takes the types from the rows that come first. So the first row is made up to show
    them, and left out by `rows`.
    """
    cursor.execute(f"SELECT * FROM {relation} LIMIT 0")
    columns = [identifier(column[0]) for column in cursor.description or ()]
    asked = ", ".join(
        f"coalesce(max(typeof({column}) = '{kind}'), 0)" for column in columns for kind in _TYPES
    )
    cursor.execute(f"SELECT {asked} FROM {relation} WHERE {where}")
    [found] = cursor.fetchall()
    held = [
        {kind for kind, has in zip(_TYPES, found[i : i + len(_TYPES)], strict=True) if has}
        for i in range(0, len(found), len(_TYPES))
    ]
    shown, read = zip(*map(_expressions, columns, held), strict=True)
    return (
        f"SELECT * FROM (SELECT {', '.join(shown)}) "
        f"UNION ALL SELECT {', '.join(read)} FROM {relation} WHERE {where}"
    )


def rows(cursor: Cursor, query: str) -> pa.RecordBatchReader:
    """Run what `selected` returned, in a stream."""
    import pyarrow as pa

    cursor.adbc_statement.set_options(**{"adbc.sqlite.query.batch_rows": _BATCH_ROWS})
    cursor.execute(query)
    reader = cursor.fetch_record_batch()

    def after_the_first() -> Iterator[pa.RecordBatch]:
        first = next(reader)
        yield first.slice(1)
        yield from reader

    return pa.RecordBatchReader.from_batches(reader.schema, after_the_first())


def names(cursor: Cursor, schema: str | None) -> Sequence[str]:
    """Return the tables and views of an attached database, or of the main one."""
    catalog = f"{identifier(schema)}." if schema else ""
    cursor.execute(f"SELECT name FROM {catalog}sqlite_master WHERE type IN ('table', 'view')")
    return [name for (name,) in cursor.fetchall()]


def literal(value: Any) -> str:
    """Return a number or a text as SQL."""
    return quoted(value) if isinstance(value, str) else repr(value)


def value(scalar: pa.Scalar) -> Any:
    """Return a value in Python's type."""
    return scalar.as_py()


def _expressions(column: str, held: set[str]) -> tuple[str, str]:
    """Return a value that shows a column's type, and what reads the column as that type."""
    if held == {"integer"}:
        return f"0 AS {column}", column
    if held and held <= {"integer", "real"}:
        return f"0.0 AS {column}", f"CAST({column} AS REAL)"
    if held == {"blob"}:
        return f"x'' AS {column}", column
    if held <= {"text"}:
        return f"'' AS {column}", column
    # Seventeen digits give a double back exactly; bytes may be no text.
    text = (
        f"CASE typeof({column}) WHEN 'real' THEN printf('%!.17g', {column}) "
        f"WHEN 'blob' THEN hex({column}) ELSE CAST({column} AS TEXT) END"
    )
    return f"'' AS {column}", text
