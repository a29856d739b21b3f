"""Names and text within SQL that is put together."""

from __future__ import annotations


def identifier(name: str) -> str:
    """Return `name` quoted as an identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return `text` quoted as a string."""
    return "'" + text.replace("'", "''") + "'"
