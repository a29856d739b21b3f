"""SQL text from names and values."""

from __future__ import annotations

from collections.abc import Iterable

from onward.core.sql import identifier


def comma(names: Iterable[str]) -> str:
    """Return identifiers, quoted, with commas between."""
    return ", ".join(map(identifier, names))


def prefixed(relation: str, columns: Iterable[str]) -> str:
    """Return a relation's columns, quoted, with commas between."""
    return ", ".join(f"{relation}.{identifier(column)}" for column in columns)


def same(left: str, right: str, columns: Iterable[str]) -> str:
    """Return the condition that two relations agree in `columns`; NULL agrees with nothing."""
    return " AND ".join(
        f"{left}.{identifier(column)} = {right}.{identifier(column)}" for column in columns
    )
