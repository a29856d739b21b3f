"""The columns of a source: what it must have, and the type of each."""

# ruff: noqa: S608 (queries are put together here; names and text are quoted)

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from onward.core.errors import DataError, DeclarationError, unknown_name
from onward.core.records import ROW, UNREADABLE
from onward.stages.ingest.config import Source
from onward.stages.ingest.contract import Agreed, name_of
from onward.stages.ingest.reading import (
    TIMESTAMP,
    TYPES,
    infer,
    readable_as_time,
)
from onward.stages.ingest.scan import Scan

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

RESERVED: Final = (
    UNREADABLE,
    "_reasons",
    "_rules",
    "_run",
    "_quarantined_at",
    "_source",
    "_part",
    ROW,
)
"""Names that the audit branch and the quarantine add to a source's columns."""


def column_types(source: Source, agreed: Agreed, connection: DuckDBPyConnection) -> dict[str, str]:
    """Return the DuckDB type as which to read each column: the published ones, then new ones.

    Raises
    ------
    DeclarationError
        A declared column does not exist, or a time cannot be one.
    DataError
        A column has a reserved name, or the first rows are none.
    """
    scan = agreed.scan
    require_declared(source, scan.columns)
    _require_unreserved(source, scan)
    if agreed.types is None:
        types = _first_types(source, scan, connection)
    else:
        new = {n: kind for n, kind in scan.columns.items() if n not in agreed.types}
        types = dict(agreed.types)
        types |= infer(connection, replace(scan, columns=new)) if new else {}
        types |= {n: TYPES[source.types[n]] for n in new if n in source.types}
    require_times(source, types)
    return types


def require_declared(source: Source, columns: Collection[str], *, settled: bool = True) -> None:
    """Refuse a source that names a column which is not there, by the closest one that is.

    Of columns that are not `settled`, since others may come with later rows, only the key and the
    times are looked at: those every row has.
    """
    needed = (*source.key, source.event_time, source.available_at)
    named = (*source.types, *source.subject, *source.masked) if settled else ()
    for name in (*needed, *named):
        if name not in columns:
            what, expected = unknown_name("column", name, columns)
            raise DeclarationError(
                f"source {source.name!r}: {what}", expected=expected, location=source.location
            )


def require_times(source: Source, types: Mapping[str, str]) -> None:
    """Refuse a source whose event time or availability time is of another type, in DuckDB's."""
    for name in (source.event_time, source.available_at):
        if types[name] != TIMESTAMP:
            raise DeclarationError(
                f"column {name!r} of source {source.name!r} holds no times: its type is "
                f"{name_of(types[name])}",
                expected="a timestamp, a date, or text in ISO 8601 such as 2013-01-31T06:30:00Z",
                location=source.location,
            )


def _require_unreserved(source: Source, scan: Scan) -> None:
    for name in RESERVED:
        if name in scan.columns:
            raise DataError(
                f"column {name!r} of source {source.name!r} has a name that Onward uses itself",
                next_step="rename the column",
            )


def _first_types(source: Source, scan: Scan, connection: DuckDBPyConnection) -> dict[str, str]:
    if connection.execute(f"SELECT 1 FROM ({scan.sql}) LIMIT 1").fetchone() is None:
        raise DataError(
            f"the first data of source {source.name!r} holds no rows",
            expected="at least one row, from which the columns' types can be seen",
        )
    types = infer(connection, scan) | {name: TYPES[kind] for name, kind in source.types.items()}
    for name in (source.event_time, source.available_at):
        if types[name] == "DATE" or (
            types[name] == "VARCHAR" and readable_as_time(connection, scan, name)
        ):
            types[name] = TIMESTAMP
    return types
