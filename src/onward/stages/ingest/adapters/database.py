"""Databases through ADBC: one read-only transaction over one table or query, answers as Arrow.

A driver's words reach the user without the password that they may repeat, and without the values
of rows that they may quote.
"""

# ruff: noqa: S608 (queries are put together here; names and values are quoted)

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from onward.core.errors import DataError, DeclarationError, OnwardError, unknown_name
from onward.core.redaction import without_values
from onward.core.sql import identifier
from onward.core.urls import backend_of, filled, without_secrets
from onward.stages.ingest.adapters import postgresql, sqlite
from onward.stages.ingest.config import Source
from onward.stages.ingest.origins import SqlTable
from onward.stages.ingest.port import Surroundings

if TYPE_CHECKING:
    import pyarrow as pa
    from adbc_driver_manager.dbapi import Cursor


class Dialect(Protocol):
    """What differs between databases; a module each.

    `TYPED` says whether a column's values are all of the type that the database says.
    """

    TYPED: bool

    def connect(self, url: str, folder: Path) -> AbstractContextManager[Cursor]:
        """Open a database in a read-only transaction."""
        ...

    def selected(self, cursor: Cursor, relation: str, where: str) -> str:
        """Return a query for the rows in which every column is of one type that Arrow has."""
        ...

    def rows(self, cursor: Cursor, query: str) -> pa.RecordBatchReader:
        """Run what `selected` returned, in a stream."""
        ...

    def names(self, cursor: Cursor, schema: str | None) -> Sequence[str]:
        """Return the names of tables and views, in a schema or where names are looked up."""
        ...

    def literal(self, value: Any) -> str:
        """Return a cursor's value as SQL."""
        ...

    def value(self, scalar: pa.Scalar) -> Any:
        """Return a cursor's value in Python's type."""
        ...


class Database:
    """A table or query of a database, within one transaction."""

    def __init__(self, source: Source, origin: SqlTable, dialect: Dialect, cursor: Cursor) -> None:
        self._source, self._origin = source, origin
        self._dialect, self._cursor = dialect, cursor
        self.quoted: Callable[[str], str] = identifier
        self.literal = dialect.literal
        self.typed = dialect.TYPED

    @property
    def relation(self) -> str:
        """The table or query, as SQL after FROM."""
        table = self._origin.table.strip()
        if _is_query(table):
            return f"({table.rstrip(';')}) AS _query"
        return ".".join(map(identifier, table.split(".")))

    def one(self, query: str) -> Sequence[Any]:
        """Return the only row of an answer."""
        self._cursor.execute(query)
        [row] = self._cursor.fetch_arrow_table().to_batches()
        return [self._dialect.value(column[0]) for column in row.columns]

    @contextmanager
    def rows(self, where: str) -> Iterator[pa.RecordBatchReader]:
        """Stream the rows for which `where` is true."""
        query = self._dialect.selected(self._cursor, self.relation, where)
        with self._dialect.rows(self._cursor, query) as reader:
            yield reader

    def require_declared(self) -> None:
        """Refuse a table or a column that is not there.

        Raises
        ------
        DeclarationError
            The database has no such name; the error names the nearest.
        """
        try:
            self._cursor.execute(f"SELECT * FROM {self.relation} LIMIT 0")
        except _errors():
            self._cursor.execute("ROLLBACK")
            self._require_table()
            raise
        columns = [column[0] for column in self._cursor.description or ()]
        for name in (self._origin.cursor, *self._source.key):
            if name not in columns:  # SQLite would take the name for a text
                raise self._unknown(f"column of {self._origin.table.strip()}", name, columns)

    def _require_table(self) -> None:
        if not _is_query(self._origin.table):
            schema, _, table = self._origin.table.rpartition(".")
            known = self._dialect.names(self._cursor, schema or None)
            if table not in known:
                raise self._unknown("table", table, known)

    def _unknown(self, kind: str, name: str, known: Sequence[str]) -> DeclarationError:
        what, expected = unknown_name(kind, name, known)
        return DeclarationError(what, expected=expected, location=self._source.location)


_DIALECTS: dict[str, Dialect] = {
    "postgresql": postgresql,
    "postgres": postgresql,
    "sqlite": sqlite,
}


@contextmanager
def open_database(
    source: Source, origin: SqlTable, surroundings: Surroundings
) -> Iterator[Database]:
    """Open what `origin` declares; the transaction ends, and changes nothing, on leaving.

    Raises
    ------
    DataError
        The database cannot be reached, or refuses a query.
    DeclarationError
        The url, the table or a column is not there, or the driver is not installed.
    """
    url = filled(origin.url, surroundings.fill)
    dialect = _DIALECTS.get(backend_of(url))
    if dialect is None:
        raise DeclarationError(
            f"source {source.name!r} cannot read from {backend_of(url) or origin.where!r}",
            expected="postgresql://user@host/name or sqlite:///data/shop.db",
            next_step="dlt reads the rest: ow.dlt(sql_table(...)), from dlt.sources.sql_database",
            location=source.location,
        )
    with _explained(source, url), dialect.connect(url, surroundings.folder) as cursor:
        database = Database(source, origin, dialect, cursor)
        database.require_declared()
        yield database


@contextmanager
def _explained(source: Source, url: str) -> Iterator[None]:
    try:
        yield
    except OnwardError as error:
        error.location = error.location or source.location
        raise
    except ModuleNotFoundError as error:
        raise DeclarationError(
            f"source {source.name!r} needs the driver {error.name}, which is not installed",
            next_step="pip install 'onward[postgres]'",
            location=source.location,
        ) from None
    except _errors() as error:
        said = " ".join(without_values(without_secrets(str(error), url)).split())
        raise DataError(
            f"source {source.name!r} cannot be read: {said}",
            expected="a database that answers, and a table or query that it knows",
            location=source.location,
        ) from None


def _errors() -> tuple[type[Exception], ...]:
    """What drivers raise: their own errors, and Arrow's or Python's while a stream is read."""
    import adbc_driver_manager
    import pyarrow as pa

    return (adbc_driver_manager.Error, pa.ArrowException, OSError, OverflowError)


def _is_query(table: str) -> bool:
    return any(c.isspace() for c in table.strip())
