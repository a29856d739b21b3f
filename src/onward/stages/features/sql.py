"""SQL text from names and values."""

from __future__ import annotations

from collections.abc import Iterable


def name(given: str) -> str:
    """Return an identifier, quoted."""
    return '"' + given.replace('"', '""') + '"'


def text(value: str) -> str:
    """Return a text literal, quoted."""
    return "'" + value.replace("'", "''") + "'"


def comma(names: Iterable[str]) -> str:
    """Return identifiers, quoted, with commas between."""
    return ", ".join(map(name, names))


def same(left: str, right: str, columns: Iterable[str]) -> str:
    """Return the condition that two relations agree in `columns`; NULL agrees with nothing."""
    return " AND ".join(f"{left}.{name(column)} = {right}.{name(column)}" for column in columns)
