"""The cursor: what has been read, kept in the summaries of published snapshots."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final

from onward.core.ports import Snapshot

FILES: Final = "files"
POSITION: Final = "position"

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


def seen_files(history: Iterable[Snapshot]) -> dict[str, SeenFile]:
    """Return every file that a published snapshot has taken in, by path."""
    return {
        row[0]: SeenFile(*row)
        for snapshot in history
        for row in json.loads(snapshot.summary.get(FILES, "[]"))
    }


def of_files(files: Iterable[SeenFile]) -> Mapping[str, str]:
    """Return the summary entry that lists `files`."""
    rows = [[f.path, f.size, f.mtime_ns, f.digest] for f in files]
    return {FILES: json.dumps(rows, separators=(",", ":"))}


def position(history: Iterable[Snapshot]) -> Any | None:
    """Return the highest cursor value that has been published, or None."""
    found = None
    for snapshot in history:
        if POSITION in snapshot.summary:
            [(kind, value)] = json.loads(snapshot.summary[POSITION]).items()
            found = _KINDS[kind][2](value)
    return found


def of_position(value: Any) -> Mapping[str, str]:
    """Return the summary entry for a cursor value.

    Raises
    ------
    TypeError
        The value has no order that survives being written down.
    """
    for kind, (type_, encode, _) in _KINDS.items():
        if type(value) is type_:
            return {POSITION: json.dumps({kind: encode(value)})}
    raise TypeError(type(value).__name__)
