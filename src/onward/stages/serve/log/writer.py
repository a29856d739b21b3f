"""Writing the prediction log: one write per tick, before the answers of that tick leave.

A write that returned survives `kill -9`; a thread brings it to the disk every `sync_s` seconds,
which bounds what a power cut can take.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path

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
    sync_s
        Seconds between two syncs to the disk.
    """

    def __init__(
        self,
        folder: Path,
        *,
        started_ns: int,
        segment_bytes: int = 64 << 20,
        sync_s: float = 0.02,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.bytes_written = 0
        self._folder = folder
        self._writer = _base36(started_ns // 1_000_000) + _base36(os.getpid()).rjust(5, "0")
        self._limit = segment_bytes
        self._number = -1
        self._fd: int | None = None
        self._offset = 0
        self._headers: dict[Header, int] = {}
        self._lock = threading.Lock()
        self._dirty = threading.Event()
        self._failure: OSError | None = None
        self._closing = False
        self._sync_s = sync_s
        self._thread = threading.Thread(target=self._sync, name="prediction-log", daemon=True)
        self._thread.start()

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
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
        if self._fd is None or self._offset >= self._limit:
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
            addresses.append(f"{self._writer}.{self._number:x}.{at:x}")
            parts.append(frame(encode(batch)))
            at += len(parts[-1])
        for told in feedback:
            addresses.append(f"{self._writer}.{self._number:x}.{at:x}")
            parts.append(frame(encode(told)))
            at += len(parts[-1])
        self._write(b"".join(parts))
        self._headers.update(added)
        if not self._dirty.is_set():
            self._dirty.set()
        return addresses

    def close(self) -> None:
        """Bring everything to the disk and let go of the segment."""
        self._closing = True
        self._dirty.set()
        self._thread.join()
        with self._lock:
            self._close_segment()

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
        self.bytes_written += len(data)

    def _abandon(self, fd: int) -> None:
        """Cut off what a failed write left and leave the segment: a reader may be ahead in it."""
        with self._lock, contextlib.suppress(OSError):
            if self._offset == len(MAGIC):
                SegmentFile(self._writer, self._number).within(self._folder).unlink()
            else:
                os.ftruncate(fd, self._offset)
        with self._lock, contextlib.suppress(OSError):
            self._close_segment()

    def _rotate(self) -> None:
        with self._lock:
            self._close_segment()
            path = SegmentFile(self._writer, self._number + 1).within(self._folder)
            fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND, 0o644)
            try:
                if os.write(fd, MAGIC) != len(MAGIC):
                    raise OSError("the segment's first bytes could not be written")
            except OSError:
                os.close(fd)
                path.unlink()
                raise
            self._number += 1
            self._fd, self._offset, self._headers = fd, len(MAGIC), {}
            _sync_folder(self._folder)

    def _close_segment(self) -> None:
        fd, self._fd = self._fd, None
        if fd is not None:
            try:
                os.fdatasync(fd)
            finally:
                os.close(fd)

    def _sync(self) -> None:
        while not self._closing:
            self._dirty.wait()
            time.sleep(self._sync_s)
            self._dirty.clear()
            with self._lock:
                if self._fd is not None:
                    try:
                        os.fdatasync(self._fd)
                    except OSError as error:
                        self._failure = error


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _base36(value: int) -> str:
    digits = ""
    while True:
        value, digit = divmod(value, 36)
        digits = _DIGITS[digit] + digits
        if value == 0:
            return digits
