"""Answers that wait for the disk, and those behind them on the same connection."""

from __future__ import annotations

import asyncio
import errno
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from onward.stages.serve.gateway.routing.job import Caller, Job
from onward.stages.serve.gateway.turn.recorder import Recorder
from onward.stages.serve.log.flusher import STALLED_S

LOOK_S: Final = 0.5

GATHER: Final = 0.25
"""For which part of a slow flush's time the next turn waits for those just answered: they ask again
in that time, and share its flush.
"""

SLOW_S: Final = 0.004
"""A flush that took less is no reason to wait."""

COMPANY: Final = 5
"""With fewer answers than this let go, nothing is gained by it."""

_EVERYTHING: Final = 1 << 63


class Held:
    """Answers in the order they were held in. One flush lets go all that it covers.

    Parameters
    ----------
    recorder
        Writes the log, and says what becomes of an answer whose flush failed.
    answer
        Sends an answer.
    freed
        Told when this is no longer `busy`.
    """

    def __init__(
        self, recorder: Recorder, answer: Callable[[Job], None], freed: Callable[[], None]
    ) -> None:
        self._recorder = recorder
        self._answer = answer
        self._freed = freed
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[Job] = deque()
        self._callers: dict[Caller, int] = {}
        self._since = 0.0
        self._looking = self._gathering = False
        self._stalled: OSError | None = None
        if recorder.log is not None:
            recorder.log.listen(self._told)

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def __contains__(self, caller: Caller) -> bool:
        return caller in self._callers

    @property
    def busy(self) -> bool:
        """Whether what is logged now would wait for a flush after the one under way.

        A disk that hangs is not busy, it has failed.
        """
        return self._gathering or bool(self._waiting)

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
        if not self._waiting:
            self._since = time.monotonic()
        self._waiting.append(job)
        self._callers[job.caller] = self._callers.get(job.caller, 0) + 1
        if not self._looking:
            self._looking = True
            self._loop.call_later(LOOK_S, self._look)

    def settle(self, position: int, failure: OSError | None) -> None:
        """Let go what waits for no more than `position`; say so where that could not be flushed."""
        self._stalled = None
        before, now = len(self._waiting), time.monotonic()
        took_s, self._since = now - self._since, now
        self._release(position, failure)
        if took_s >= SLOW_S and before - len(self._waiting) >= COMPANY and not self._gathering:
            self._gathering = True
            self._loop.call_later(GATHER * took_s, self._gathered)
        else:
            self._free()

    def _told(self, position: int, failure: OSError | None) -> None:
        """Hear from the log's thread."""
        self._loop.call_soon_threadsafe(self.settle, position, failure)

    def _gathered(self) -> None:
        self._gathering = False
        self._free()

    def _free(self) -> None:
        if not self.busy:
            self._freed()

    def _look(self) -> None:
        """Give up on a disk that does not answer."""
        if self._waiting and self._since < time.monotonic() - STALLED_S:
            self._stalled = OSError(errno.ETIMEDOUT, f"no flush has come back for {STALLED_S:g} s")
            self._release(_EVERYTHING, self._stalled)
            self._free()
        self._looking = bool(self._waiting)
        if self._looking:
            self._loop.call_later(LOOK_S, self._look)

    def _release(self, position: int, failure: OSError | None) -> None:
        waiting, callers = self._waiting, self._callers
        while waiting and waiting[0].position <= position:
            job = waiting.popleft()
            if callers[job.caller] == 1:
                del callers[job.caller]
            else:
                callers[job.caller] -= 1
            if failure is not None and job.position:
                self._recorder.unlogged(job, failure)
            self._answer(job)
