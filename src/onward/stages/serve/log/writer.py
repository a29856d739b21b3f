"""Writing the prediction log: one write per tick, before the answers of that tick leave.

A write that returned survives `kill -9`. What a crash of the machine may take is said by the
flusher: an answer that waits until `settled` has passed its position loses nothing; one that leaves
while the log is not `behind` was written less than the bound before everything is on the disk.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Sequence
from pathlib import Path

from onward.stages.serve.log.flusher import Flusher, Settled
from onward.stages.serve.log.segment import (
    MAGIC,
    Batch,
    Feedback,
    Header,
    SegmentFile,
    encode,
    frame,
)

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


class PredictionLog:
    """A writer's own segments; never appends to one that another process began.

    Parameters
    ----------
    folder
        Where the segments lie, shared by all writers.
    started_ns
        When the writer began, in nanoseconds since the epoch: writers sort by it.
    segment_bytes
        A segment that reaches this size is closed, and the next one begun.
    bound_s
        How old, in seconds, what is written may become before it is on the disk.
    """

    def __init__(
        self,
        folder: Path,
        *,
        started_ns: int,
        segment_bytes: int = 64 << 20,
        bound_s: float = 0.02,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.flusher = Flusher(folder, bound_s)
        self.position = 0
        self._folder = folder
        self.writer = _base36(started_ns // 1_000_000) + _base36(os.getpid()).rjust(5, "0")
        self._limit = segment_bytes
        self._number = -1
        self._fd: int | None = None
        self._offset = 0
        self._headers: dict[Header, int] = {}

    def listen(self, settled: Settled) -> None:
        """Tell `settled`, on the flusher's thread, of each flush that somebody hurried."""
        self.flusher.listen(settled)

    def behind(self, now_ns: int) -> bool:
        """Whether an answer given now could be lost with others older than the bound."""
        return self.flusher.behind(now_ns)

    def hurry(self) -> None:
        """Have everything flushed that was written, as soon as the disk is free: somebody waits."""
        self.flusher.hurry()

    def append(
        self, batches: Sequence[tuple[Header, Batch]], feedback: Sequence[Feedback] = ()
    ) -> list[str]:
        """Write everything at once; return the address of each batch, then of each feedback.

        A row's id is the address and ``.row``.

        Raises
        ------
        OSError
            They could not be written (disk full, for one): the log is as it was before.
        """
        if self._fd is None or self._offset >= self._limit or self.flusher.spoilt:
            self._rotate()
        added: dict[Header, int] = {}
        addresses, parts, at = [], [], self._offset
        for header, batch in batches:
            known = self._headers.get(header, added.get(header))
            if known is None:
                added[header] = known = at
                parts.append(frame(encode(header)))
                at += len(parts[-1])
            batch.header = known
            addresses.append(f"{self.writer}.{self._number:x}.{at:x}")
            parts.append(frame(encode(batch)))
            at += len(parts[-1])
        for told in feedback:
            addresses.append(f"{self.writer}.{self._number:x}.{at:x}")
            parts.append(frame(encode(told)))
            at += len(parts[-1])
        self._write(b"".join(parts))
        self._headers.update(added)
        self.flusher.wrote(self.position)
        return addresses

    def close(self) -> None:
        """Bring everything to the disk and let go of the segment."""
        self._fd = None
        self.flusher.close()

    def _write(self, data: bytes) -> None:
        fd = self._fd
        if fd is None:  # pragma: no cover - `_rotate` either opens a segment or raises
            raise OSError("no segment is open")
        left = memoryview(data)
        try:
            while left:
                left = left[os.write(fd, left) :]
        except OSError:
            self._abandon(fd)
            raise
        self._offset += len(data)
        self.position += len(data)

    def _abandon(self, fd: int) -> None:
        """Cut off what a failed write left and leave the segment: a reader may be ahead in it."""
        with contextlib.suppress(OSError):
            if self._offset == len(MAGIC):
                SegmentFile(self.writer, self._number).within(self._folder).unlink()
            else:
                os.ftruncate(fd, self._offset)
        self._fd = None
        self.flusher.retire()

    def _rotate(self) -> None:
        path = SegmentFile(self.writer, self._number + 1).within(self._folder)
        fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND, 0o644)
        try:
            with contextlib.suppress(OSError):  # not every file system has locks
                fcntl.flock(fd, fcntl.LOCK_SH)  # `prune` leaves alone what a writer holds
            if os.write(fd, MAGIC) != len(MAGIC):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            os.close(fd)
            path.unlink()
            raise
        self._number += 1
        self._fd, self._offset, self._headers = fd, len(MAGIC), {}
        self.flusher.opened(fd)


def _base36(value: int) -> str:
    digits = ""
    while True:
        value, digit = divmod(value, 36)
        digits = _DIGITS[digit] + digits
        if value == 0:
            return digits
