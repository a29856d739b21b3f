"""The cursor: what has been read, kept in the published table's state."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final

FILES: Final = "files"
FOLDED: Final = "files.folded"
POSITION: Final = "position"

_RECENT: Final = 500  # files, about 100 bytes each

_KINDS: Final[dict[str, tuple[type, Callable[[Any], Any], Callable[[Any], Any]]]] = {
    "int": (int, int, int),
    "float": (float, float, float),
    "text": (str, str, str),
    "decimal": (Decimal, str, Decimal),
    "datetime": (datetime, datetime.isoformat, datetime.fromisoformat),
    "date": (date, date.isoformat, date.fromisoformat),
}


@dataclass(frozen=True, slots=True)
class SeenFile:
    """A file as it was when it was read. `path` is relative to the project, `size` in bytes."""

    path: str
    size: int
    mtime_ns: int
    digest: str


def seen_files(state: Mapping[str, str]) -> dict[str, SeenFile]:
    """Return every file that was taken in, by path."""
    return {row[0]: SeenFile(*row) for name in (FOLDED, FILES) for row in _rows(state, name)}


def of_files(files: Iterable[SeenFile]) -> Mapping[str, str]:
    """Return the entry that lists `files`."""
    return {FILES: _text([f.path, f.size, f.mtime_ns, f.digest] for f in files)}


def with_files(new: Iterable[SeenFile], state: Mapping[str, str]) -> Mapping[str, str]:
    """Return the entries that list the `new` files besides those of `state`.

    A list of the recent ones is written with every batch. When it is long it is folded into the
    other, which then stays as it is for as many batches as files were folded.
    """
    recent = [*_rows(state, FILES), *_rows(of_files(new), FILES)]
    if len(recent) <= _RECENT:
        return {FILES: _text(recent)}
    return {FOLDED: _text([*_rows(state, FOLDED), *recent]), FILES: _text([])}


def position(state: Mapping[str, str]) -> Any | None:
    """Return the highest cursor value that has been published, or None."""
    if POSITION not in state:
        return None
    [(kind, value)] = json.loads(state[POSITION]).items()
    return _KINDS[kind][2](value)


def of_position(value: Any) -> Mapping[str, str]:
    """Return the entry for a cursor value.

    Raises
    ------
    TypeError
        The value has no order that survives being written down.
    """
    for kind, (type_, encode, _) in _KINDS.items():
        if type(value) is type_:
            return {POSITION: json.dumps({kind: encode(value)})}
    raise TypeError(type(value).__name__)


def _rows(state: Mapping[str, str], name: str) -> list[list[Any]]:
    found: list[list[Any]] = json.loads(state.get(name, "[]"))
    return found


def _text(rows: Iterable[list[Any]]) -> str:
    return json.dumps(list(rows), separators=(",", ":"))
