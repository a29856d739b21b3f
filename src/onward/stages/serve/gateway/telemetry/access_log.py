"""The access log: a line of JSON for each request, written in groups beside the loop.

A line says who called (the name that their token has, no address), what for, and what came of it.
Of what the request held it says nothing.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

_encode: Final = msgspec.json.Encoder().encode


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A line: `at` is when the request had arrived, `bytes_in` and `bytes_out` are bodies."""

    at: str
    id: str
    route: str
    status: int
    ms: float
    bytes_in: int
    bytes_out: int
    caller: str = ""
    model: str = ""
    versions: list[int] = []
    rows: int = 0
    trace: str = ""


def moment(ns: int) -> str:
    """Return nanoseconds since the epoch as the log has them: RFC 3339, in microseconds."""
    second, rest = divmod(ns, 1_000_000_000)
    return f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%S}.{rest // 1000:06}Z"


class AccessLog:
    """Appends to a file that several processes share, and that may be moved away meanwhile."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._fd = self._open()

    def write(self, entries: Sequence[Entry]) -> None:
        """Append a group of lines, by one write."""
        if not self._same():
            os.close(self._fd)
            self._fd = self._open()
        left = memoryview(b"".join(_encode(entry) + b"\n" for entry in entries))
        while left:
            left = left[os.write(self._fd, left) :]

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._fd)

    def _open(self) -> int:
        return os.open(self._path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o640)

    def _same(self) -> bool:
        try:
            return self._path.stat().st_ino == os.fstat(self._fd).st_ino
        except FileNotFoundError:
            return False
