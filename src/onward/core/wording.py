"""Words around figures, as people read them."""

from __future__ import annotations


def counted(count: int, noun: str) -> str:
    """Return ``1 row`` or ``2,345 rows``."""
    return f"{count:,} {noun if count == 1 else plural(noun)}"


def size(count: int) -> str:
    """Return so many bytes in the unit that people would say: ``1.5 GB``."""
    value = float(count)
    for unit in ("bytes", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.1f} {unit}" if unit != "bytes" else counted(count, "byte")
        value /= 1000
    return f"{value:.1f} TB"


def plural(noun: str) -> str:
    """Return the plural of a noun that forms it by rule."""
    if noun.endswith(("s", "x", "ch", "sh")):
        return f"{noun}es"
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return f"{noun[:-1]}ies"
    return f"{noun}s"
