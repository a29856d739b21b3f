"""The columns of a source: what it must have, and the type of each."""

# ruff: noqa: S608 (queries are put together here; names and text are quoted)

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from onward.core.errors import DataError, DeclarationError, unknown_name
from onward.core.records import ROW, UNREADABLE
from onward.stages.ingest.config import Source
from onward.stages.ingest.contract import Agreed, name_of
from onward.stages.ingest.looks import infer
from onward.stages.ingest.reading import TIMESTAMP, TYPES, readable_as_time
from onward.stages.ingest.rows import DOUBT
from onward.stages.ingest.scan import Scan

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    Looks = Callable[[DuckDBPyConnection, Scan], dict[str, str]]

RESERVED: Final = (
    UNREADABLE,
    DOUBT,
    "_reasons",
    "_rules",
    "_run",
    "_quarantined_at",
    "_source",
    "_part",
    ROW,
)
"""Names that rows have on their way, on the audit branch or in the quarantine."""


def column_types(
    source: Source,
    agreed: Agreed,
    connection: DuckDBPyConnection,
    looks: Looks = infer,
) -> dict[str, str]:
    """Return the DuckDB type as which to read each column: the published ones, then new ones.

    `looks` finds the type of a new column that is not declared: `infer`, or `presume`. What it
    presumes then is to be proved (`presumed`).

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
    before = agreed.types or {}
    if agreed.types is None:
        _require_rows(source, scan, connection)
    new = {name: kind for name, kind in scan.columns.items() if name not in before}
    found = _found(source, replace(scan, columns=new), connection, looks) if new else {}
    if agreed.types is None:
        for name in (source.event_time, source.available_at):
            if found[name] == "DATE" or (
                found[name] == "VARCHAR" and readable_as_time(connection, scan, name)
            ):
                found[name] = TIMESTAMP
    types = {**before, **found}
    require_times(source, types)
    return types


def presumed(source: Source, agreed: Agreed, types: Mapping[str, str]) -> frozenset[str]:
    """Return the columns whose type, which `presume` found, a later value may refute.

    Not those that are text, as any text may be, nor times of a first batch: those are columns of
    which some value can be read as one.
    """
    times = (source.event_time, source.available_at) if agreed.types is None else ()
    certain = {*(agreed.types or ()), *source.types, *agreed.scan.types, *times}
    return frozenset(n for n, kind in types.items() if n not in certain and kind != "VARCHAR")


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


def _require_rows(source: Source, scan: Scan, connection: DuckDBPyConnection) -> None:
    if connection.execute(f"SELECT 1 FROM ({scan.sql}) LIMIT 1").fetchone() is None:
        raise DataError(
            f"the first data of source {source.name!r} holds no rows",
            expected="at least one row, from which the columns' types can be seen",
        )


def _found(
    source: Source,
    scan: Scan,
    connection: DuckDBPyConnection,
    looks: Looks,
) -> dict[str, str]:
    """Return the types of a scan's columns, as declared or by their looks."""
    undeclared = {name: kind for name, kind in scan.columns.items() if name not in source.types}
    found = looks(connection, replace(scan, columns=undeclared))
    # A time that looks like something else by a sample may be one by all values, and is needed.
    times = {n: undeclared[n] for n in (source.event_time, source.available_at) if n in undeclared}
    unclear = {name: kind for name, kind in times.items() if found[name] != TIMESTAMP}
    found |= infer(connection, replace(scan, columns=unclear)) if unclear else {}
    declared = {name: TYPES[kind] for name, kind in source.types.items() if name in scan.columns}
    return {name: (declared | found)[name] for name in scan.columns}
