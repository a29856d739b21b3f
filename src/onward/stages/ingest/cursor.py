"""The cursor: what has been read, kept in the published table's state."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

FILES: Final = "files"
FOLDED: Final = "files.folded"
POSITION: Final = "position"
OFFSETS: Final = "offsets"

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
    """A file as it was when it was read.

    `path` is relative to the project, or a URL; `size` is in bytes. `tag` is what changes cheaply
    with the file: its modification time, or what a store calls its ETag. `digest` is its content's.
    """

    path: str
    size: int
    tag: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """The highest cursor value that was read, and how many row versions then lay within `lag`."""

    value: Any
    lag: str
    rows: int


def seen_files(state: Mapping[str, str]) -> dict[str, SeenFile]:
    """Return every file that was taken in, by path."""
    return {row[0]: SeenFile(*row) for name in (FOLDED, FILES) for row in _rows(state, name)}


def of_files(files: Iterable[SeenFile]) -> Mapping[str, str]:
    """Return the entry that lists `files`."""
    return {FILES: _text([f.path, f.size, f.tag, f.digest] for f in files)}


def with_files(new: Iterable[SeenFile], state: Mapping[str, str]) -> Mapping[str, str]:
    """Return the entries that list the `new` files besides those of `state`.

    A list of the recent ones is written with every batch. When it is long it is folded into the
    other, which then stays as it is for as many batches as files were folded.
    """
    recent = [*_rows(state, FILES), *_rows(of_files(new), FILES)]
    if len(recent) <= _RECENT:
        return {FILES: _text(recent)}
    return {FOLDED: _text([*_rows(state, FOLDED), *recent]), FILES: _text([])}


def position(state: Mapping[str, str]) -> Position | None:
    """Return the position that was published last, or None."""
    if POSITION not in state:
        return None
    stored = json.loads(state[POSITION])
    value = _KINDS[stored["kind"]][2](stored["value"])
    return Position(value=value, lag=stored["lag"], rows=stored["rows"])


def of_position(position: Position) -> Mapping[str, str]:
    """Return the entry for a position whose value `has_order`."""
    kind = _kind(position.value)
    stored = {
        "kind": kind,
        "value": _KINDS[kind][1](position.value),
        "lag": position.lag,
        "rows": position.rows,
    }
    return {POSITION: json.dumps(stored)}


def has_order(value: Any) -> bool:
    """Tell whether values of this type have an order that survives being written down."""
    return any(type(value) is type_ for type_, _, _ in _KINDS.values())


def earlier(value: Any, lag: timedelta | float) -> Any:
    """Return what lies `lag` before a cursor value; text is read as a time in ISO 8601.

    Raises
    ------
    TypeError
        The value cannot be reduced by such a lag.
    """
    if not lag:
        return value
    if isinstance(value, str) and isinstance(lag, timedelta):
        return _earlier_text(value, lag)
    if isinstance(value, date) != isinstance(lag, timedelta):
        raise TypeError(type(value).__name__)
    return value - (Decimal(str(lag)) if isinstance(value, Decimal) else lag)


def _earlier_text(value: str, lag: timedelta) -> str:
    """Return the time in the same form, cut after its seconds: in order before what follows."""
    try:
        found = datetime.fromisoformat(value) - lag
    except ValueError:
        raise TypeError("text that is no time") from None
    if len(value) == len("2024-01-31"):
        return found.date().isoformat()
    return found.replace(tzinfo=None, microsecond=0).isoformat(sep=value[10])


def _kind(value: Any) -> str:
    return next(kind for kind, (type_, _, _) in _KINDS.items() if type(value) is type_)


def offsets(state: Mapping[str, str]) -> dict[int, int]:
    """Return the next offset to read of each partition; none where nothing has been published."""
    return {int(p): offset for p, offset in json.loads(state.get(OFFSETS, "{}")).items()}


def of_offsets(offsets: Mapping[int, int]) -> Mapping[str, str]:
    """Return the entry for the next offset of every partition."""
    return {OFFSETS: json.dumps(offsets, separators=(",", ":"))}


def _rows(state: Mapping[str, str], name: str) -> list[list[Any]]:
    found: list[list[Any]] = json.loads(state.get(name, "[]"))
    return found


def _text(rows: Iterable[list[Any]]) -> str:
    return json.dumps(list(rows), separators=(",", ":"))
