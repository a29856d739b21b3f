"""Answers that wait for the disk, and those behind them on the same connection."""

from __future__ import annotations

import asyncio
import errno
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import Final

from onward.stages.serve.gateway.job import Caller, Job
from onward.stages.serve.gateway.recorder import Recorder
from onward.stages.serve.log.flusher import STALLED_S

LOOK_S: Final = 0.5


class Held:
    """Answers in the order they were held in. One flush lets go all that it covers.

    Parameters
    ----------
    recorder
        Writes the log, and says what becomes of an answer whose flush failed.
    answer
        Sends an answer.
    """

    def __init__(self, recorder: Recorder, answer: Callable[[Job], None]) -> None:
        self._recorder = recorder
        self._answer = answer
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[tuple[Job, float]] = deque()
        self._callers: Counter[Caller] = Counter()
        self._looking = False
        self._stalled: OSError | None = None
        if recorder.log is not None:
            recorder.log.listen(self._told)

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def __contains__(self, caller: Caller) -> bool:
        return caller in self._callers

    def add(self, job: Job) -> None:
        """Hold an answer until the disk has everything up to its position.

        One without a position waits for those before it.
        """
        if self._stalled is not None and job.position:
            self._recorder.unlogged(job, self._stalled)
            job.position = 0
        if not (job.position or self._waiting):
            self._answer(job)
            return
        self._waiting.append((job, time.monotonic()))
        self._callers[job.caller] += 1
        if not self._looking:
            self._looking = True
            self._loop.call_later(LOOK_S, self._look)

    def settle(self, position: int, failure: OSError | None) -> None:
        """Let go what waits for no more than `position`; say so where that could not be flushed."""
        self._stalled = None
        self._release(lambda job, _: job.position <= position, failure)

    def _told(self, position: int, failure: OSError | None) -> None:
        """Hear from the log's thread."""
        self._loop.call_soon_threadsafe(self.settle, position, failure)

    def _look(self) -> None:
        """Give up on a disk that does not answer."""
        before = time.monotonic() - STALLED_S
        if self._waiting and self._waiting[0][1] < before:
            self._stalled = OSError(errno.ETIMEDOUT, f"no flush has come back for {STALLED_S:g} s")
            self._release(lambda _, since: since < before, self._stalled)
        self._looking = bool(self._waiting)
        if self._looking:
            self._loop.call_later(LOOK_S, self._look)

    def _release(self, done: Callable[[Job, float], bool], failure: OSError | None) -> None:
        while self._waiting and done(*self._waiting[0]):
            job, _ = self._waiting.popleft()
            self._callers[job.caller] -= 1
            if not self._callers[job.caller]:
                del self._callers[job.caller]
            if failure is not None and job.position:
                self._recorder.unlogged(job, failure)
            self._answer(job)
