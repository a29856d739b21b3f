"""SQL tables: rows past the cursor, streamed in chunks, through any SQLAlchemy dialect."""

# ruff: noqa: S608 (queries are put together here; names and text are quoted)

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from onward.core.errors import DataError, DeclarationError, unknown_name
from onward.stages.ingest import cursor
from onward.stages.ingest.config import Source, SqlTable
from onward.stages.ingest.port import Desk, Intake, Surroundings
from onward.stages.ingest.scan import scan_spool

if TYPE_CHECKING:
    import pyarrow as pa
    from sqlalchemy.engine import Connection

_CHUNK_ROWS: Final = 50_000


class SqlReader:
    """Reads `SqlTable`: rows past the highest cursor value published so far.

    The upper bound is fixed before the rows are read, so rows that arrive meanwhile wait for the
    next time. A row whose cursor is NULL, or not past a value already read, is never read.
    """

    def __init__(self, surroundings: Surroundings) -> None:
        self._folder = surroundings.folder

    def pending(self, source: Source, state: Mapping[str, str]) -> bool:
        """Tell whether the cursor column has grown; asks one ``max()``."""
        return self._beyond(source, state) is not None

    def open(
        self,
        source: Source,
        state: Mapping[str, str],
        *,
        known: Sequence[str] | None,
        desk: Desk,
    ) -> Intake | None:
        """Return the rows past the cursor, or None."""
        origin, upto = _table(source), self._beyond(source, state)
        if upto is None:
            return None
        after = cursor.position(state)
        names = spool(source, origin, self._folder, after=after, upto=upto, into=desk.folder)
        try:
            entries = cursor.of_position(upto)
        except TypeError as error:
            raise DeclarationError(
                f"column {origin.cursor!r} of {origin.table} cannot be a cursor: it holds {error}",
                expected="a column of numbers, text, dates or times that only grows",
                location=source.location,
            ) from None
        scan = scan_spool(desk.connection, desk.folder, names, known)
        return Intake(scan=scan, summary=entries, state=entries)

    def _beyond(self, source: Source, state: Mapping[str, str]) -> Any | None:
        after, upto = cursor.position(state), highest(source, _table(source), self._folder)
        return None if upto is None or (after is not None and not upto > after) else upto


def _table(source: Source) -> SqlTable:
    assert isinstance(source.origin, SqlTable)
    return source.origin


def highest(source: Source, origin: SqlTable, folder: Path) -> Any | None:
    """Return the greatest value in the cursor column, or None for an empty table.

    Raises
    ------
    DataError
        The database cannot be reached, or refuses the query.
    DeclarationError
        The url, the table or the cursor column is not there.
    """
    with _connected(source, origin, folder) as connection:
        column = _quoted(connection, origin.cursor)
        [value] = _execute(connection, f"SELECT max({column}) FROM {_from(connection, origin)}")
        return value[0]


def spool(
    source: Source, origin: SqlTable, folder: Path, *, after: Any | None, upto: Any, into: Path
) -> list[str]:
    """Write the rows with `after` < cursor <= `upto` as Parquet files of up to 50,000 rows.

    A file lacks the columns that hold nothing in it. Returns the names of all columns.

    Raises
    ------
    DataError, DeclarationError
        As for `highest`.
    """
    import pyarrow as pa
    from pyarrow import parquet
    from sqlalchemy import text

    with _connected(source, origin, folder) as connection:
        cursor = _quoted(connection, origin.cursor)
        past = f"{cursor} > :after AND " if after is not None else ""
        query = text(
            f"SELECT * FROM {_from(connection, origin)} "
            f"WHERE {past}{cursor} <= :upto ORDER BY {cursor}"
        )
        bounds = {"upto": upto} | ({"after": after} if after is not None else {})
        result = connection.execution_options(yield_per=_CHUNK_ROWS).execute(query, bounds)
        names = list(result.keys())
        for number, chunk in enumerate(result.partitions()):
            columns = zip(names, map(_column, zip(*chunk, strict=True)), strict=True)
            rows = pa.table({n: c for n, c in columns if not pa.types.is_null(c.type)})
            parquet.write_table(rows, into / f"{number:06}.parquet", compression="lz4")
        return names


def _column(values: Sequence[Any]) -> pa.Array:
    """Return one chunk of a column: typed where its values agree, else the text of each."""
    import pyarrow as pa

    try:
        found = pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        return pa.array([None if v is None else str(v) for v in values], pa.string())
    return found.cast(pa.float64()) if pa.types.is_decimal(found.type) else found


@contextmanager
def _connected(source: Source, origin: SqlTable, folder: Path) -> Iterator[Connection]:
    import sqlalchemy
    from sqlalchemy import exc
    from sqlalchemy.pool import NullPool

    try:
        url = sqlalchemy.make_url(origin.url)
        if url.get_backend_name() == "sqlite" and url.database:
            path = folder / url.database
            if not path.is_file():
                raise DataError(
                    f"source {source.name!r} reads a database that is not there: {path}",
                    expected="a path relative to the project's folder",
                    location=source.location,
                )
            url = url.set(database=str(path))
        engine = sqlalchemy.create_engine(url, poolclass=NullPool)
    except (exc.ArgumentError, exc.NoSuchModuleError, ModuleNotFoundError) as error:
        raise DeclarationError(
            f"source {source.name!r} cannot open {origin.url.partition('://')[0]!r}: {error}",
            expected="a SQLAlchemy url whose driver is installed: sqlite:///data/shop.db, "
            "postgresql+psycopg://user@host/name",
            location=source.location,
        ) from None
    try:
        with engine.connect() as connection:
            try:
                yield connection
            except exc.DBAPIError as error:
                connection.rollback()
                _require_declared(source, origin, connection)
                raise _refused(source, error) from None
    except exc.DBAPIError as error:
        raise _refused(source, error) from None
    finally:
        engine.dispose()


def _require_declared(source: Source, origin: SqlTable, connection: Connection) -> None:
    from sqlalchemy import inspect

    if _is_query(origin):
        return
    inspector = inspect(connection)
    schema, _, table = origin.table.rpartition(".")
    names = [*inspector.get_table_names(schema or None), *inspector.get_view_names(schema or None)]
    kind, name, known = "table", table, names
    if table in names:
        columns = [c["name"] for c in inspector.get_columns(table, schema or None)]
        kind, name, known = f"column of {origin.table}", origin.cursor, columns
    if name not in known:
        what, expected = unknown_name(kind, name, known)
        raise DeclarationError(what, expected=expected, location=source.location)


def _refused(source: Source, error: Any) -> DataError:
    return DataError(
        f"source {source.name!r} cannot be read: {error.orig}",
        expected="a database that answers, and a table or query that it knows",
        location=source.location,
    )


def _execute(connection: Connection, query: str) -> Sequence[Any]:
    from sqlalchemy import text

    return connection.execute(text(query)).fetchall()


def _is_query(origin: SqlTable) -> bool:
    return any(c.isspace() for c in origin.table.strip())


def _from(connection: Connection, origin: SqlTable) -> str:
    if _is_query(origin):
        return f"({origin.table.rstrip().rstrip(';')}) AS _query"
    return ".".join(_quoted(connection, part) for part in origin.table.split("."))


def _quoted(connection: Connection, name: str) -> str:
    return connection.dialect.identifier_preparer.quote(name)
