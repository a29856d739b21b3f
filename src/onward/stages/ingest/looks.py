"""The types that text looks like: seen in a sample, proved or refuted by every value.

What some rows refute, all rows refute. So a sample narrows the types that a column can have, and
only those that are left are tried on every value: here, or while the rows are read (`rows`).
"""

# ruff: noqa: S608 (queries are put together here; names are quoted)

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from onward.core.sql import identifier
from onward.stages.ingest.reading import ABSENT, TIMESTAMP, normal
from onward.stages.ingest.scan import Scan

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_SAMPLE: Final = 10_000  # rows

_LOOKS: Final = {
    "BIGINT": r"regexp_full_match({text}, '[+-]?(0|[1-9]\d*)')",
    "DOUBLE": r"NOT regexp_matches({text}, '^[+-]?0\d')",
    "BOOLEAN": "lower({text}) IN ('true', 'false')",
    "DATE": r"regexp_full_match({text}, '\d+-\d+-\d+')",
    TIMESTAMP: r"regexp_matches({text}, '^\d+-\d+-\d+')",
}
"""How text looks, without spaces around it, that is of a type, if it can be read as that too.

A column has the first type that all of its text is of.
"""

_AT_A_GLANCE: Final = _LOOKS | {"DOUBLE": r"regexp_matches({text}, '^[+-]?([1-9]|0?\.|0$)')"}
"""The same of text as it came, though not of all that is of the type: to trim costs more."""


def infer(connection: DuckDBPyConnection, scan: Scan) -> dict[str, str]:
    """Return the type that all values of each column have: what the format says, or text's looks.

    Text that all reads as whole numbers is int64, as numbers double, as true and false bool, as
    ISO dates date, as ISO times a timestamp. Numbers with leading zeros are codes, thus text.
    """
    kinds = _told(scan)
    unknown = [name for name in scan.columns if name not in kinds]
    kinds |= _proved(connection, scan, _sampled(connection, scan, unknown))
    return {name: kinds[name] for name in scan.columns}


def presume(connection: DuckDBPyConnection, scan: Scan) -> dict[str, str]:
    """Return what `infer` would, as far as a sample shows: the first type that it leaves.

    Text is text for certain. A column of which the sample has no value is looked through.
    """
    kinds = _told(scan)
    unknown = [name for name in scan.columns if name not in kinds]
    left = _sampled(connection, scan, unknown)
    unseen = {name: some for name, some in left.items() if some is None}
    kinds |= {name: _first(some) for name, some in left.items() if some is not None}
    kinds |= _proved(connection, scan, unseen)
    return {name: kinds[name] for name in scan.columns}


def look(kind: str, text: str, read: str) -> str:
    """Return SQL for whether `text` looks like `kind`; NULL where it stands for no value.

    `read` is SQL for whether it can be read as such.
    """
    return (
        f"CASE WHEN {text} IS NULL THEN NULL "
        f"WHEN {_AT_A_GLANCE[kind].format(text=text)} AND {read} THEN TRUE "
        f"WHEN trim({text}) IN {ABSENT} THEN NULL "
        f"ELSE {_look(kind, f'trim({text})', read)} END"
    )


def _told(scan: Scan) -> dict[str, str]:
    return {name: normal(kind) for name, kind in scan.types.items()}


def _sampled(
    connection: DuckDBPyConnection, scan: Scan, names: Sequence[str]
) -> dict[str, list[str] | None]:
    """Return the types that some rows leave of each column; None where they hold no value."""
    if not names:
        return {}
    trimmed = "CASE WHEN trim({text}) NOT IN {absent} THEN trim({text}) END"
    read = ", ".join(
        f"{text} AS _text_{i}, {trimmed.format(text=text, absent=ABSENT)} AS _trimmed_{i}"
        for i, text in enumerate(map(identifier, names))
    )
    tests = {
        (name, kind): _look(kind, f"_trimmed_{i}", _reads(f"_text_{i}", kind))
        for i, name in enumerate(names)
        for kind in _LOOKS
    }
    found = _every(connection, f"SELECT {read} FROM ({scan.sql}) LIMIT {_SAMPLE}", tests)
    return {
        name: None
        if found[name, "BIGINT"] is None
        else [kind for kind in _LOOKS if found[name, kind]]
        for name in names
    }


def _proved(
    connection: DuckDBPyConnection, scan: Scan, left: Mapping[str, Sequence[str] | None]
) -> dict[str, str]:
    """Return of each column the first of the types left, or of all, that fits every value."""
    asked = {name: tuple(_LOOKS) if some is None else some for name, some in left.items()}
    tests = {
        (name, kind): look(kind, identifier(name), _reads(identifier(name), kind))
        for name, kinds in asked.items()
        for kind in kinds
    }
    found = _every(connection, scan.sql, tests)
    return {name: _first(k for k in kinds if found[name, k]) for name, kinds in asked.items()}


def _every(
    connection: DuckDBPyConnection, rows: str, tests: Mapping[tuple[str, str], str]
) -> dict[tuple[str, str], bool | None]:
    """Return of each test whether no row fails it; None where it is NULL for all."""
    if not tests:
        return {}
    asked = ", ".join(f"bool_and({test})" for test in tests.values())
    found = connection.execute(f"SELECT {asked} FROM ({rows})").fetchone()
    assert found is not None
    return dict(zip(tests, found, strict=True))


def _look(kind: str, trimmed: str, read: str) -> str:
    looks = _LOOKS[kind].format(text=trimmed)
    return f"CASE WHEN {trimmed} IS NULL THEN NULL WHEN {looks} THEN {read} ELSE FALSE END"


def _reads(text: str, kind: str) -> str:
    # What looks like a boolean is one, with spaces around it too, though then it cannot be read.
    return "TRUE" if kind == "BOOLEAN" else f"TRY_CAST({text} AS {kind}) IS NOT NULL"


def _first(kinds: Iterable[str]) -> str:
    return next(iter(kinds), "VARCHAR")
