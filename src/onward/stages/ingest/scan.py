"""Scans: DuckDB queries over files, each column under its name and as it came."""

# ruff: noqa: S608 (queries are put together here; names and text are quoted)

from __future__ import annotations

import csv
import gzip
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from onward.core.errors import DataError
from onward.core.records import UNREADABLE
from onward.core.sql import identifier, literal

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_DELIMITERS: Final = (",", ";", "\t", "|")
_PART: Final = "_part"
_NAMED: Final = f"filename = '{_PART}'"


@dataclass(frozen=True, slots=True)
class Shape:
    """A set of columns that some inputs have, and the first of those inputs."""

    name: str
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """A query over a source's new rows.

    `columns` gives the DuckDB type of each column as `sql` selects it, `types` what the format
    itself says of the values (a JSON number is scanned as text, so that whatever comes can be
    kept); a format that knows only text, such as CSV, says nothing. Where `unreadable` is true,
    `sql` selects the column `UNREADABLE` besides: the text of rows that could not be told apart
    into columns. Where `part` is given, `sql` selects a column of that name: the file that the row
    came from; rows of one file come one after the other.
    """

    sql: str
    columns: Mapping[str, str]
    types: Mapping[str, str] = field(default_factory=dict)
    shapes: tuple[Shape, ...] = ()
    sparse: bool = False
    typed: bool = False
    unreadable: bool = False
    part: str | None = None


def scan_csv(paths: Sequence[Path], known: Sequence[str] | None) -> Scan:
    """Scan CSV files, every value as text; each file has a header, in any order of columns.

    The columns `known` come first. The dialect is never guessed from the rows: a guess that fails
    skips rows in silence.

    Raises
    ------
    DataError
        A file has no header, or a column twice.
    """
    headers: dict[tuple[str, tuple[str, ...]], list[Path]] = {}
    for path in paths:
        headers.setdefault(_header(path), []).append(path)
    shapes = _shapes((group[0].name, names) for (_, names), group in headers.items())
    columns = _all(known, shapes)
    parts = [
        f"SELECT {_selected(columns, names)}, {_PART} FROM read_csv({_list(group)}, {_NAMED}, "
        f"auto_detect = false, header = true, delim = {literal(delimiter)}, "
        f"quote = '\"', escape = '\"', nullstr = '', "
        f"columns = {_all_text(names)})"
        for (delimiter, names), group in headers.items()
    ]
    sql = " UNION ALL ".join(parts)
    return Scan(sql=sql, columns=dict.fromkeys(columns, "VARCHAR"), shapes=shapes, part=_PART)


def scan_parquet(
    connection: DuckDBPyConnection, paths: Sequence[Path], known: Sequence[str] | None
) -> Scan:
    """Scan Parquet files; a column whose type differs between them gets their common type.

    Raises
    ------
    DataError
        A file is not Parquet.
    """
    from pyarrow import ArrowInvalid
    from pyarrow.parquet import read_schema

    names = []
    for path in paths:
        try:
            names.append((path.name, tuple(read_schema(path).names)))
        except ArrowInvalid as error:
            raise DataError(f"{path.name} is not a Parquet file: {error}") from None
    shapes = _shapes(names)
    rows = f"read_parquet({_list(paths)}, {_NAMED}, union_by_name = true)"
    return _typed(connection, rows, known, shapes, typed=True, part=_PART)


def scan_json(
    connection: DuckDBPyConnection, paths: Sequence[Path], known: Sequence[str] | None
) -> Scan:
    """Scan JSON arrays or JSON lines, every value as text; an absent field is NULL."""
    everything = f"read_json({_list(paths)}, sample_size = -1, union_by_name = true)"
    found = describe(connection, f"SELECT * FROM {everything}")
    shapes = (Shape(paths[0].name, tuple(found)),)
    columns = _all(known, shapes)
    selected = ", ".join(map(identifier, columns))
    rows = f"read_json({_list(paths)}, {_NAMED}, columns = {_all_text(columns)})"
    sql = f"SELECT {selected}, {_PART} FROM {rows}"
    text = dict.fromkeys(columns, "VARCHAR")
    return Scan(sql=sql, columns=text, types=found, shapes=shapes, sparse=True, part=_PART)


def scan_rows(
    connection: DuckDBPyConnection,
    paths: Sequence[Path],
    known: Sequence[str] | None,
    *,
    types: Mapping[str, str],
) -> Scan:
    """Scan JSON lines that Onward wrote itself, with the `types` that are known from elsewhere."""
    lines = f"{_list(paths)}, format = 'newline_delimited', union_by_name = true"
    found = describe(connection, f"SELECT * FROM read_json({lines}, sample_size = -1)")
    unreadable = found.pop(UNREADABLE, None) is not None
    found |= types
    shapes = (Shape("the batch", tuple(found)),)
    columns = _all(known, shapes)
    read = [*columns, UNREADABLE] if unreadable else columns
    selected = ", ".join(map(identifier, read))
    return Scan(
        sql=f"SELECT {selected} FROM read_json({lines}, columns = {_all_text(read)})",
        columns=dict.fromkeys(columns, "VARCHAR"),
        types=found,
        shapes=shapes,
        sparse=True,
        unreadable=unreadable,
    )


def scan_spool(
    connection: DuckDBPyConnection,
    folder: Path,
    names: Sequence[str],
    known: Sequence[str] | None,
    *,
    typed: bool,
) -> Scan:
    """Scan the Parquet files in `folder`, each of which may lack some of the columns `names`."""
    rows = f"read_parquet({literal(str(folder / '*.parquet'))}, union_by_name = true)"
    return _typed(connection, rows, known, (Shape("the table", tuple(names)),), typed=typed)


def describe(connection: DuckDBPyConnection, sql: str) -> dict[str, str]:
    """Return the DuckDB type of each column that `sql` selects."""
    return {row[0]: row[1] for row in connection.execute(f"DESCRIBE {sql}").fetchall()}


def _typed(
    connection: DuckDBPyConnection,
    rows: str,
    known: Sequence[str] | None,
    shapes: tuple[Shape, ...],
    *,
    typed: bool,
    part: str | None = None,
) -> Scan:
    found = describe(connection, f"SELECT * FROM {rows}")
    columns = _all(known, shapes)
    found.pop(part or "", None)
    named = f", {part}" if part else ""
    return Scan(
        sql=f"SELECT {_selected(columns, found)}{named} FROM {rows}",
        columns={name: found.get(name, "VARCHAR") for name in columns},
        types=found,
        shapes=shapes,
        typed=typed,
        part=part,
    )


def _shapes(names: Iterable[tuple[str, Sequence[str]]]) -> tuple[Shape, ...]:
    """Return each set of columns once, with the first input that has it."""
    found: dict[frozenset[str], Shape] = {}
    for name, columns in names:
        found.setdefault(frozenset(columns), Shape(name, tuple(columns)))
    return tuple(found.values())


def _all(known: Sequence[str] | None, shapes: Sequence[Shape]) -> list[str]:
    return list(dict.fromkeys([*(known or ()), *(c for s in shapes for c in s.columns)]))


def _selected(columns: Iterable[str], there: Container[str]) -> str:
    return ", ".join(
        identifier(c) if c in there else f"NULL::VARCHAR AS {identifier(c)}" for c in columns
    )


def _header(path: Path) -> tuple[str, tuple[str, ...]]:
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8-sig", newline="") as file:
            line = file.readline()
            delimiter = max(_DELIMITERS, key=line.count)
            file.seek(0)
            names = tuple(next(csv.reader(file, delimiter=delimiter, strict=True), ()))
    except (UnicodeDecodeError, csv.Error, EOFError, gzip.BadGzipFile) as error:
        raise DataError(f"{path.name} is not a CSV file in UTF-8: {error}") from None
    if not names or "" in names or len(set(map(str.lower, names))) < len(names):
        raise DataError(
            f"{path.name} has no header that names each column once: {line.strip()!r}",
            expected="a first line with the columns' names",
        )
    return delimiter, names


def _list(paths: Sequence[Path]) -> str:
    return "[" + ", ".join(literal(str(p)) for p in paths) + "]"


def _all_text(columns: Iterable[str]) -> str:
    return "{" + ", ".join(f"{literal(c)}: 'VARCHAR'" for c in columns) + "}"
