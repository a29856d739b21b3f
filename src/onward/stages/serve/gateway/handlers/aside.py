"""Work beside the loop: what reads files or computes for long must not hold up the other requests.

A connection that waits for such work takes its next request only when the answer has left, or has
its place in the turn: answers leave in the order in which the requests came.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar, cast

from onward.core.errors import OnwardError
from onward.stages.serve.gateway.admission.admission import LATE
from onward.stages.serve.gateway.protocol.content import RefusedError
from onward.stages.serve.gateway.routing.job import Job
from onward.stages.serve.gateway.words import say

if TYPE_CHECKING:
    from onward.stages.serve.gateway.protocol.http import Connection

T = TypeVar("T")


class Aside:
    """One thread for the work.

    Parameters
    ----------
    add
        Gives a job its turn.
    answer
        Answers a job whose turn is over.
    failed
        Returns the body of a refusal.
    """

    def __init__(
        self,
        add: Callable[[Job], None],
        answer: Callable[[Job, int, bytes], None],
        failed: Callable[[str], bytes],
    ) -> None:
        self._add = add
        self._answer = answer
        self._failed = failed
        self._loop = asyncio.get_running_loop()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="aside")

    def before(self, job: Job, work: Callable[[], T], then: Callable[[T], None]) -> None:
        """Have `work` done, and `then` told what it gave, before the job has its turn.

        Either may raise what refuses the request.
        """
        connection = cast("Connection", job.caller)
        connection.hold()
        job.held = True

        def done(future: asyncio.Future[T]) -> None:
            try:
                then(future.result())
            except Exception as error:
                job.ready(*self._refusal(error))
            self._add(job)
            connection.resume()

        self._begin(job, work).add_done_callback(done)

    def after(self, job: Job, work: Callable[[], bytes]) -> None:
        """Have `work` done after the job's turn, and answer with what it gives.

        Where the turn ended otherwise than with 200, that is the answer.
        """
        connection = cast("Connection", job.caller)
        connection.hold()

        def answer(status: int, body: bytes) -> None:
            self._answer(job, status, body)
            connection.resume()

        def done(future: asyncio.Future[bytes]) -> None:
            try:
                status, body = 200, future.result()
            except Exception as error:
                status, body = self._refusal(error)
            answer(status, body)

        def later(status: int, body: bytes) -> None:
            if status == 200:
                self._begin(job, work).add_done_callback(done)
            else:
                answer(status, body)

        job.later = later

    def close(self) -> None:
        """Take no more work; what is under way is not waited for."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _begin(self, job: Job, work: Callable[[], T]) -> asyncio.Future[T]:
        """Have work done, unless its caller has stopped waiting when its time comes."""

        def in_time() -> T:
            if 0 < job.deadline < time.perf_counter_ns():
                raise RefusedError(LATE, "the deadline passed before the request's turn")
            return work()

        return self._loop.run_in_executor(self._pool, in_time)

    def _refusal(self, error: Exception) -> tuple[int, bytes]:
        if isinstance(error, OnwardError):
            status = error.status if isinstance(error, RefusedError) else 400
            return status, self._failed(str(error))
        say(f"beside the loop: {error!r}")
        return 500, self._failed(f"{type(error).__name__}: {error}")
