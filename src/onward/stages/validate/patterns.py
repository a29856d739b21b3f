"""Patterns of text that all values of a column share, where one is clear."""

# ruff: noqa: S608 (queries are put together here; names and text are quoted)

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Final

from onward.core.sql import identifier

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_LONGEST: Final = 40
_KNOWN: Final = (
    ("a UUID", r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"),
    ("an e-mail address", r"^[^@\s]+@[^@\s]+\.[^@\s.]+$"),
    ("a web address", r"^https?://\S+$"),
)


@dataclass(frozen=True, slots=True)
class Pattern:
    """A regular expression, as Python and DuckDB both read it, and what it says in words."""

    what: str
    expression: str


def find_pattern(connection: DuckDBPyConnection, table: str, column: str) -> Pattern | None:
    """Return the pattern of every value of a text column, or None where there is no clear one.

    Clear is a known form, or one shape: the same kinds of ASCII characters in the same places,
    digits among them. The last digits may be more or fewer than were seen: numbers grow.
    """
    name, rows = identifier(column), f"{identifier(table)} WHERE {identifier(column)} IS NOT NULL"
    matched = ", ".join(f"bool_and(regexp_matches({name}, ?))" for _ in _KNOWN)
    known = connection.execute(f"SELECT {matched} FROM {rows}", [e for _, e in _KNOWN]).fetchone()
    for (what, expression), every in zip(_KNOWN, known or (), strict=True):
        if every:
            return Pattern(what, expression)
    shape = f"regexp_replace({name}, '[0-9]+', '9', 'g')"
    shape = f"regexp_replace(regexp_replace({shape}, '[A-Z]', 'A', 'g'), '[a-z]', 'a', 'g')"
    found = connection.execute(
        f"SELECT min({shape}), max({shape}), min({name}), max({name}), min(length({name})), "
        f"max(length({name})) FROM {rows}"
    ).fetchone()
    if found is None or found[0] is None or found[0] != found[1]:
        return None
    one, _, least, greatest, _, longest = found
    clear = "9" in one and one.isascii() and one.isprintable() and longest <= _LONGEST
    if not clear or re.fullmatch("9", one):
        return None
    return Pattern(
        "in its usual form", f"^{_expression(connection, rows, name, one, least, greatest)}$"
    )


def _expression(
    connection: DuckDBPyConnection, rows: str, name: str, shape: str, least: str, greatest: str
) -> str:
    """Write a shape as an expression; capitals at its beginning that never vary stay as they are.

    Small letters may be more or fewer: they are words, where capitals are codes.
    """
    same = 0
    for a, b, kind in zip(least, greatest, shape, strict=False):
        if a != b or kind in "9a":
            break
        same += 1
    prefix = least[:same]
    every = connection.execute(f"SELECT bool_and(starts_with({name}, ?)) FROM {rows}", [prefix])
    assert (every.fetchone() or (False,))[0]  # between the least and the greatest lie all others
    parts = [re.escape(prefix)]
    groups = [(kind, len(list(of))) for kind, of in groupby(shape[same:])]
    digits = _digits(connection, rows, name, shape)
    for position, (kind, length) in enumerate(groups):
        if kind == "9":
            widths = digits.pop(0)
            last = position == len(groups) - 1
            steady = widths[0] == widths[1] and not last
            parts.append(rf"\d{{{widths[0]}}}" if steady else r"\d+")
        elif kind == "a":
            parts.append("[a-z]+")
        else:
            of = "[A-Z]" if kind == "A" else re.escape(kind)
            parts.append(of if length == 1 else f"{of}{{{length}}}")
    return "".join(parts)


def _digits(
    connection: DuckDBPyConnection, rows: str, name: str, shape: str
) -> list[tuple[int, int]]:
    """Return how long each run of digits is, at least and at most."""
    runs = shape.count("9")
    asked = ", ".join(f"min(length(runs[{i}])), max(length(runs[{i}]))" for i in range(1, runs + 1))
    found = connection.execute(
        f"SELECT {asked} FROM (SELECT regexp_extract_all({name}, '[0-9]+') AS runs FROM {rows})"
    ).fetchone()
    assert found is not None
    return list(zip(found[::2], found[1::2], strict=True))
