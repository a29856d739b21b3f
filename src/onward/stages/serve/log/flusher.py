"""Bringing the log to the disk in groups: one flush covers all that was written before it began.

The writer goes on writing while a flush is under way, and never waits for a disk itself. What it
writes meanwhile is covered by the flush after.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from onward.core.files import sync
from onward.stages.serve.log.promptness import prompt

Settled = Callable[[int, OSError | None], None]
"""Told up to which position the disk has said yes or no, and why no; on the flusher's thread."""

STALLED_S: Final = 5.0
"""A disk that has not answered for so long has failed, as far as anybody who waits is concerned."""


class Flusher:
    """A thread that flushes; one writer tells it what it wrote, in positions that only grow.

    Parameters
    ----------
    folder
        Where the segments lie: a new one is on the disk when its folder's entry is.
    bound_s
        How old what is written may become before it is on the disk. Flushes begin twice as often,
        so that one which takes up to half of it is no delay to anybody.
    """

    def __init__(self, folder: Path, bound_s: float) -> None:
        self.failure: OSError | None = None
        self.flushes = self.failures = 0
        self._folder = folder
        self._bound_ns = int(bound_s * 1e9)
        self._every_ns = self._bound_ns // 2
        self._settled: Settled | None = None
        self._wake = threading.Condition()
        self._fd: int | None = None
        self._retired: list[int] = []
        self._spoilt: set[int] = set()
        self._created = self._dirty = self._hurried = self._closing = False
        self._written = 0
        self._oldest_ns = self._in_flight_ns = self._next_ns = 0
        self._thread = threading.Thread(target=self._run, name="prediction-log", daemon=True)
        self._thread.start()

    # ------------------------------------------------------------ the writer's side

    def listen(self, settled: Settled) -> None:
        """Tell `settled` of each flush that somebody hurried."""
        self._settled = settled

    def opened(self, fd: int) -> None:
        """Take over a new segment; the one before retires."""
        with self._wake:
            self._retire()
            self._fd, self._created = fd, True

    def retire(self) -> None:
        """Flush the segment a last time, and close it, when the next flush comes."""
        with self._wake:
            self._retire()

    @property
    def spoilt(self) -> bool:
        """Whether the open segment cannot be trusted any more: the next one is to be begun."""
        return self._fd in self._spoilt

    def wrote(self, position: int) -> None:
        """Know that everything up to `position` was written."""
        self._written = position
        if not self._dirty:  # the thread clears it first, then reads how much was written
            with self._wake:
                self._oldest_ns = time.perf_counter_ns()
                self._dirty = True
                self._wake.notify()

    def hurry(self) -> None:
        """Flush what was written as soon as the disk is free, and tell when that is done."""
        with self._wake:
            if not self._hurried:
                self._hurried = True
                self._wake.notify()

    def behind(self, now_ns: int) -> bool:
        """Whether an answer must wait: the last flush failed, or the bound has passed without one.

        `now_ns` is by `time.perf_counter_ns`.
        """
        oldest = self._in_flight_ns or (self._oldest_ns if self._dirty else 0)
        return self.failure is not None or (oldest != 0 and now_ns - oldest > self._bound_ns)

    def failing(self, now_ns: int) -> bool:
        """Whether the last flush failed, or one does not come back; see `behind`."""
        oldest = self._in_flight_ns
        return self.failure is not None or (oldest != 0 and now_ns - oldest > STALLED_S * 1e9)

    def close(self) -> None:
        """Flush everything, close everything, end the thread."""
        with self._wake:
            self._retire()
            self._closing = True
            self._wake.notify()
        self._thread.join()

    def _retire(self) -> None:
        if self._fd is not None:
            self._retired.append(self._fd)
            self._fd = None

    # ------------------------------------------------------------ the thread

    def _run(self) -> None:
        prompt()
        closing = False
        while not closing:
            with self._wake:
                self._pause()
                begun_ns = time.perf_counter_ns()
                self._next_ns = begun_ns + self._every_ns
                self._in_flight_ns = self._oldest_ns if self._dirty else 0
                self._dirty = False
                position, hurried, closing = self._written, self._hurried, self._closing
                fd, retired, created = self._fd, self._retired, self._created
                self._retired, self._hurried, self._created = [], False, False
            failure = self._flush(fd, retired, created)
            self.flushes += 1
            self.failures += failure is not None
            self.failure = failure
            self._in_flight_ns = 0
            if hurried and self._settled is not None:
                self._settled(position, failure)

    def _pause(self) -> None:
        """Wait until there is something to flush, and it is time, or somebody waits for it."""
        wake = self._wake
        wake.wait_for(lambda: self._dirty or self._hurried or self._closing)
        pause_s = (self._next_ns - time.perf_counter_ns()) / 1e9
        if pause_s > 0:
            wake.wait_for(lambda: self._hurried or self._closing, pause_s)

    def _flush(self, fd: int | None, retired: list[int], created: bool) -> OSError | None:
        """Flush the segments; return the first failure.

        After one, the kernel may call clean what it could not write: a segment that failed once
        has failed, whatever a later flush of it says.
        """
        failure = None
        for one in [*retired, *([] if fd is None else [fd])]:
            try:
                if one in self._spoilt:
                    raise OSError(errno.EIO, "an earlier flush of the segment failed")
                os.fdatasync(one)
            except OSError as error:
                failure = failure or error
                self._spoilt.add(one)
        for one in retired:
            self._spoilt.discard(one)
            os.close(one)
        if created:
            try:
                sync(self._folder)
            except OSError as error:
                failure, self._created = failure or error, True
        return failure
