"""The heads: every event's hash a second time, in an append-only file beside the database."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from onward.core.errors import CorruptError, OnwardError

_LINE: Final = re.compile(rb"(\d+) ([0-9a-f]{64})\n")
_TAIL: Final = 128  # a line is at most 20 digits, a space, 64 of hash and a newline


class Heads:
    """One line a head, ``<seq> <hash>``, in the order of the ledger.

    Only the ledger's writer appends, one at a time: it holds a lock around commit and line.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def create(self) -> None:
        """Make the file, empty: from now on its absence means that somebody took it away."""
        self.path.touch()

    def last(self) -> int:
        """Return the newest head's sequence number, 0 without any; mend a torn last line."""
        try:
            with self.path.open("rb+") as file:
                size = file.seek(0, os.SEEK_END)
                start = file.seek(max(0, size - _TAIL))
                tail = file.read()
                whole = tail.rfind(b"\n") + 1
                if whole < len(tail):  # a crash in the middle of writing it
                    file.truncate(start + whole)
        except FileNotFoundError:
            return 0
        lines = tail[:whole].splitlines(keepends=True)
        if not lines:
            return 0
        return self._read(lines[-1])[0]

    def append(self, heads: Iterable[tuple[int, str]]) -> None:
        """Write heads and wait until the disk has them.

        Raises
        ------
        OnwardError
            The disk is full or read-only. The events are recorded; the next append adds the lines.
        """
        lines = "".join(f"{seq} {digest}\n" for seq, digest in heads).encode()
        try:
            with self.path.open("ab") as file:
                file.write(lines)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise OnwardError(
                f"{self.path} could not be written: {error.strerror}",
                next_step="make room or allow writing, then run the same command again",
            ) from error

    def __iter__(self) -> Iterator[tuple[int, str]]:
        """Yield every head; a torn last line, left by a crash, is left out."""
        try:
            file = self.path.open("rb")
        except FileNotFoundError:
            raise CorruptError(
                f"{self.path} is gone",
                expected="the ledger's heads, one line an event",
                next_step="restore the file from a backup",
            ) from None
        with file:
            for line in file:
                if line.endswith(b"\n"):
                    yield self._read(line)

    def _read(self, line: bytes) -> tuple[int, str]:
        found = _LINE.fullmatch(line)
        if found is None:
            raise CorruptError(
                f"{self.path} holds a line that is no head: {line[:40]!r}",
                expected="'<sequence number> <SHA-256>' on every line",
                next_step="restore the file from a backup",
            )
        return int(found[1]), found[2].decode()
