"""Scans: DuckDB queries over files, each column under its name and as it came."""

# ruff: noqa: S608 (queries are put together here; names and text are quoted)

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from onward.core.errors import DataError, nearest
from onward.core.records import UNREADABLE

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_DELIMITERS: Final = (",", ";", "\t", "|")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """A query over a source's new rows.

    `columns` gives the DuckDB type of each column as `sql` selects it, `types` what the format
    itself says of the values (a JSON number is scanned as text, so that whatever comes can be
    kept); a format that knows only text, such as CSV, says nothing. Where `unreadable` is true,
    `sql` selects the column `UNREADABLE` besides: the text of rows that could not be told apart
    into columns.
    """

    sql: str
    columns: Mapping[str, str]
    types: Mapping[str, str] = field(default_factory=dict)
    unreadable: bool = False


def scan_csv(paths: Sequence[Path], known: Sequence[str] | None) -> Scan:
    """Scan CSV files, every value as text; each file has a header, in any order of columns.

    `known` names the columns that a file must have; the first file's unless given. The dialect
    is never guessed from the rows: a guess that fails skips rows in silence.

    Raises
    ------
    DataError
        A file has no header, a column twice, or other columns than it must.
    """
    headers: dict[tuple[str, tuple[str, ...]], list[Path]] = {}
    for path in paths:
        delimiter, names = _header(path)
        known = list(names) if known is None else known
        require_columns(path.name, names, known)
        headers.setdefault((delimiter, names), []).append(path)
    columns = known or []
    selected = ", ".join(map(identifier, columns))
    parts = [
        f"SELECT {selected} FROM read_csv({_list(group)}, auto_detect = false, header = true, "
        f"delim = {literal(delimiter)}, quote = '\"', escape = '\"', nullstr = '', "
        f"columns = {_all_text(names)})"
        for (delimiter, names), group in headers.items()
    ]
    return Scan(sql=" UNION ALL ".join(parts), columns=dict.fromkeys(columns, "VARCHAR"))


def scan_parquet(
    connection: DuckDBPyConnection, paths: Sequence[Path], known: Sequence[str] | None
) -> Scan:
    """Scan Parquet files; a column whose type differs between them gets their common type.

    Raises
    ------
    DataError
        A file is not Parquet, or has other columns than it must.
    """
    from pyarrow import ArrowInvalid
    from pyarrow.parquet import read_schema

    for path in paths:
        try:
            names = read_schema(path).names
        except ArrowInvalid as error:
            raise DataError(f"{path.name} is not a Parquet file: {error}") from None
        known = list(names) if known is None else known
        require_columns(path.name, names, known)
    selected = ", ".join(map(identifier, known or []))
    sql = f"SELECT {selected} FROM read_parquet({_list(paths)}, union_by_name = true)"
    types = describe(connection, sql)
    return Scan(sql=sql, columns=types, types=types)


def scan_json(
    connection: DuckDBPyConnection, paths: Sequence[Path], known: Sequence[str] | None
) -> Scan:
    """Scan JSON arrays or JSON lines, every value as text; an absent field is NULL.

    Raises
    ------
    DataError
        There are fields that the published table does not have.
    """
    everything = f"read_json({_list(paths)}, sample_size = -1, union_by_name = true)"
    found = describe(connection, f"SELECT * FROM {everything}")
    columns = list(known or found)
    require_columns(paths[0].name, [*found, *(c for c in columns if c not in found)], columns)
    selected = ", ".join(map(identifier, columns))
    sql = f"SELECT {selected} FROM read_json({_list(paths)}, columns = {_all_text(columns)})"
    return Scan(sql=sql, columns=dict.fromkeys(columns, "VARCHAR"), types=found)


def scan_rows(
    connection: DuckDBPyConnection,
    paths: Sequence[Path],
    known: Sequence[str] | None,
    *,
    types: Mapping[str, str],
) -> Scan:
    """Scan JSON lines that Onward wrote itself, with the `types` that are known from elsewhere.

    Raises
    ------
    DataError
        There are columns that the published table does not have.
    """
    lines = f"{_list(paths)}, format = 'newline_delimited', union_by_name = true"
    found = describe(connection, f"SELECT * FROM read_json({lines}, sample_size = -1)")
    unreadable = found.pop(UNREADABLE, None) is not None
    found |= types
    columns = list(known or found)
    require_columns("the batch", [*found, *(c for c in columns if c not in found)], columns)
    read = [*columns, UNREADABLE] if unreadable else columns
    selected = ", ".join(map(identifier, read))
    return Scan(
        sql=f"SELECT {selected} FROM read_json({lines}, columns = {_all_text(read)})",
        columns=dict.fromkeys(columns, "VARCHAR"),
        types=found,
        unreadable=unreadable,
    )


def scan_spool(
    connection: DuckDBPyConnection, folder: Path, names: Sequence[str], known: Sequence[str] | None
) -> Scan:
    """Scan the Parquet files in `folder`, each of which may lack some of the columns `names`.

    Raises
    ------
    DataError
        The columns are not those that are `known`.
    """
    require_columns("the table", names, known or names)
    rows = f"read_parquet({literal(str(folder / '*.parquet'))}, union_by_name = true)"
    found = describe(connection, f"SELECT * FROM {rows}")
    selected = ", ".join(
        identifier(n) if n in found else f"NULL::VARCHAR AS {identifier(n)}" for n in names
    )
    types = {n: found.get(n, "VARCHAR") for n in names}
    return Scan(sql=f"SELECT {selected} FROM {rows}", columns=types, types=types)


def describe(connection: DuckDBPyConnection, sql: str) -> dict[str, str]:
    """Return the DuckDB type of each column that `sql` selects."""
    return {row[0]: row[1] for row in connection.execute(f"DESCRIBE {sql}").fetchall()}


def require_columns(what: str, found: Iterable[str], expected: Iterable[str]) -> None:
    """Refuse `found` columns that are not `expected`, in whatever order.

    Raises
    ------
    DataError
        Some are missing or new; the error names each, with the closest of the others.
    """
    present, known = set(found), set(expected)
    if present == known:
        return
    missing = [f"- {name}" for name in sorted(known - present)]
    added = []
    for name in sorted(present - known):
        close = nearest(name, known - present)
        added.append(f"+ {name}" + (f" (was it {close!r}?)" if close else ""))
    raise DataError(
        f"{what} has other columns than the rows before it: {', '.join([*missing, *added])}",
        expected=", ".join(sorted(known)),
        next_step="give the rows the columns they had, or declare a source of another name",
    )


def identifier(name: str) -> str:
    """Return `name` quoted for SQL."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return `text` as a SQL string."""
    return "'" + text.replace("'", "''") + "'"


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
