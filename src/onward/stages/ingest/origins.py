"""Where rows come from: files and tables of a database (streams and interfaces are beside)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, ClassVar, Final, Literal, Protocol, runtime_checkable

from onward.core.clock import duration
from onward.core.declared import here
from onward.core.errors import DeclarationError, unknown_name
from onward.core.urls import backend_of, shown

Format = Literal["csv", "parquet", "json"]


@runtime_checkable
class Origin(Protocol):
    """Where rows come from: a frozen declaration. `kind` names the reader that understands it.

    Its text is shown to users; what is secret stays out of it, and out of comparison.
    """

    kind: ClassVar[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """Files that match a pattern, each read once and whole. See `files`."""

    kind: ClassVar[str] = "files"

    url: str = field(repr=False, compare=False)  # it may hold a password, and so may the options
    pattern: str
    format: Format
    storage_options: Mapping[str, Any] = field(repr=False, compare=False)

    def __str__(self) -> str:
        return self.pattern


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlTable:
    """A table or query in a database, read by a column that only grows. See `sql`."""

    kind: ClassVar[str] = "sql"

    url: str = field(repr=False, compare=False)  # it may hold a password
    where: str
    table: str
    cursor: str
    mode: Literal["append", "upsert"]
    lag: timedelta | float

    def __str__(self) -> str:
        return f"{self.table} in {self.where}"


_ENDINGS: Final[dict[str, Format]] = {
    ".csv": "csv",
    ".csv.gz": "csv",
    ".parquet": "parquet",
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
}


def files(
    pattern: str,
    format: Format | None = None,
    *,
    storage_options: Mapping[str, Any] | None = None,
) -> Files:
    """Read every file that matches a pattern, once.

    Parameters
    ----------
    pattern
        A glob, relative to the project's folder, or a URL of any store that fsspec reaches:
        ``data/flights/*.csv``, ``s3://bucket/flights/**/*.parquet``.
    format
        ``csv``, ``parquet`` or ``json`` (an array, or lines); it follows the ending unless given.
    storage_options
        What opens the store, as fsspec names it, over ``[storage.<protocol>]`` in onward.toml:
        ``{"key": "${secret:s3-key}", "secret": "${secret:s3-secret}"}``. Never shown or recorded.
    """
    location = here()
    ending = pattern.partition("?")[0]
    found = format or next((f for e, f in _ENDINGS.items() if ending.endswith(e)), None)
    if found is None:
        raise DeclarationError(
            f"the format of {shown(pattern)!r} is not known",
            expected="a pattern that ends in .csv, .parquet, .json or .jsonl, or format='csv'",
            location=location,
        )
    if storage_options and not backend_of(pattern) and "${" not in pattern:
        raise DeclarationError(
            f"{pattern!r} is a folder of this machine, which no storage options open",
            expected="a URL, such as s3://bucket/flights/*.csv",
            location=location,
        )
    return Files(
        url=pattern,
        pattern=shown(pattern),
        format=found,
        storage_options=dict(storage_options or {}),
    )


def sql(
    url: str,
    table: str,
    *,
    cursor: str,
    mode: Literal["append", "upsert"] = "append",
    lag: str | timedelta | float = 0,
) -> SqlTable:
    """Read a table of PostgreSQL or SQLite incrementally, by a column that only grows.

    Parameters
    ----------
    url
        ``postgresql://user:${secret:shop-db}@host/name``, or ``sqlite:///data/shop.db`` (relative
        to the project). A password in it is never shown or recorded.
    table
        A name, ``schema.name`` or a query.
    cursor
        The column that grows: a serial number, or when the row was last changed.
    mode
        With ``append`` each row read is a new one. With ``upsert`` it takes the place of the
        published row with the same key; the one with the greater cursor stays.
    lag
        How far back to read again, for rows that are committed after others with a greater
        cursor: ``"10m"`` for times, a number for numbers. A row version, which is its key and
        cursor, is taken once; rows that tie with the last one are always read again.
    """
    location = here()
    if mode not in ("append", "upsert"):
        what, expected = unknown_name("mode", mode, ("append", "upsert"))
        raise DeclarationError(what, expected=expected, location=location)
    back = duration(lag, location) if isinstance(lag, (str, timedelta)) else lag
    if not isinstance(back, timedelta) and back < 0:
        raise DeclarationError(
            f"a lag of {lag!r} reads nothing again",
            expected="a duration such as '10m', or a number that is not negative",
            location=location,
        )
    return SqlTable(url=url, where=shown(url), table=table, cursor=cursor, mode=mode, lag=back)
