"""SQL tables: rows past the cursor, and again those within the lag, streamed as Arrow."""

# ruff: noqa: S608 (queries are put together here; names and values are quoted)

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from onward.core.errors import DataError, DeclarationError
from onward.stages.ingest import cursor
from onward.stages.ingest.adapters.database import Database, open_database
from onward.stages.ingest.config import Source
from onward.stages.ingest.cursor import Position, earlier
from onward.stages.ingest.origins import SqlTable
from onward.stages.ingest.port import Desk, Intake, Surroundings
from onward.stages.ingest.scan import scan_spool


class SqlReader:
    """Reads `SqlTable` by its cursor, in PostgreSQL and SQLite.

    What is read lies between two bounds that are fixed first: above the highest value that was
    published, less the lag, up to the highest there is. So rows that arrive meanwhile wait, and
    rows that were committed late, or with the same value, are read the next time. A row whose
    cursor is NULL, or further back than the lag, is never read.
    """

    def __init__(self, surroundings: Surroundings) -> None:
        self._surroundings = surroundings

    def pending(self, source: Source, state: Mapping[str, str]) -> bool:
        """Tell whether the cursor has grown, or rows appeared within the lag: two aggregates."""
        with open_database(source, _table(source), self._surroundings) as database:
            return _upto(source, database, cursor.position(state)) is not None

    def open(
        self,
        source: Source,
        state: Mapping[str, str],
        *,
        known: Sequence[str] | None,
        desk: Desk,
    ) -> Intake | None:
        """Return the rows past the cursor with those within the lag, or None."""
        from pyarrow import parquet

        origin, before = _table(source), cursor.position(state)
        with open_database(source, origin, self._surroundings) as database:
            upto = _upto(source, database, before)
            if upto is None:
                return None
            if desk.limits is not None:
                upto = _cut(source, database, before, upto, desk.limits.rows)
            where = _between(source, database, before.value if before else None, upto)
            with database.rows(where) as rows:
                names = rows.schema.names
                file = desk.folder / "rows.parquet"
                with parquet.ParquetWriter(file, rows.schema, compression="lz4") as writer:
                    for batch in rows:
                        writer.write_batch(batch)
            count = _within(source, database, upto)
        entries = cursor.of_position(Position(value=upto, lag=str(origin.lag), rows=count))
        scan = scan_spool(desk.connection, desk.folder, names, known, typed=database.typed)
        return Intake(
            scan=scan,
            summary=entries,
            state=entries,
            mode=origin.mode,
            order=origin.cursor,
            overlaps=known is not None,
        )


def _table(source: Source) -> SqlTable:
    assert isinstance(source.origin, SqlTable)
    return source.origin


def _upto(source: Source, database: Database, before: Position | None) -> Any | None:
    """Return the cursor value up to which there is something new; None where there is not.

    It is the position itself where rows appeared within the lag below it, or may have: another lag
    than before is tried once.
    """
    highest = _highest(source, database)
    if highest is None or before is None or _beyond(source, highest, before):
        return highest
    same_lag = before.lag == str(_table(source).lag)
    if same_lag and _within(source, database, before.value) <= before.rows:
        return None
    return before.value


def _highest(source: Source, database: Database) -> Any | None:
    """Return the greatest cursor value.

    Raises
    ------
    DeclarationError
        The column holds values that no cursor can be.
    """
    column = _table(source).cursor
    [value] = database.one(f"SELECT max({database.quoted(column)}) FROM {database.relation}")
    if value is not None and not cursor.has_order(value):
        raise DeclarationError(
            f"column {column!r} of {_table(source).table} cannot be a cursor: it holds "
            f"{type(value).__name__}",
            expected="a column of numbers, text, dates or times that only grows",
            location=source.location,
        )
    return value


def _beyond(source: Source, upto: Any, before: Position) -> bool:
    try:
        return bool(_comparable(upto) > _comparable(before.value))
    except TypeError:
        raise DataError(
            f"the cursor {_table(source).cursor!r} of source {source.name!r} holds "
            f"{type(upto).__name__} now, and held {type(before.value).__name__} before",
            expected="the type that the column had from the first batch on",
            next_step="restore the column, or declare a source of another name to begin anew",
            location=source.location,
        ) from None


def _cut(source: Source, database: Database, before: Position | None, upto: Any, rows: int) -> Any:
    """Return the cursor value of the last of so many rows past the position, at most `upto`."""
    column = database.quoted(_table(source).cursor)
    where = f"{column} <= {database.literal(upto)}"
    if before is not None:
        where += f" AND {column} > {database.literal(before.value)}"
    [value] = database.one(
        f"SELECT max({column}) FROM (SELECT {column} FROM {database.relation} "
        f"WHERE {where} ORDER BY {column} LIMIT {rows}) AS _first"
    )
    return upto if value is None else value


def _comparable(value: Any) -> Any:
    naive = isinstance(value, datetime) and value.tzinfo is None
    return value.replace(tzinfo=UTC) if naive else value


def _within(source: Source, database: Database, upto: Any) -> int:
    """Count the row versions within the lag below `upto`, both ends included."""
    origin = _table(source)
    columns = ", ".join(database.quoted(c) for c in dict.fromkeys((*source.key, origin.cursor)))
    where = _between(source, database, upto, upto)
    [count] = database.one(
        f"SELECT count(*) FROM (SELECT DISTINCT {columns} FROM {database.relation} "
        f"WHERE {where}) AS _within"
    )
    return int(count)


def _between(source: Source, database: Database, after: Any | None, upto: Any) -> str:
    origin = _table(source)
    column = database.quoted(origin.cursor)
    bounds = f"{column} <= {database.literal(upto)}"
    if after is None:
        return bounds
    try:
        least = earlier(after, origin.lag)
    except TypeError:
        raise DeclarationError(
            f"source {source.name!r} has a lag of {origin.lag!r}, and its cursor holds "
            f"{type(after).__name__}",
            expected="a duration such as '10m' for times, a number for numbers",
            location=source.location,
        ) from None
    return f"{column} >= {database.literal(least)} AND {bounds}"
