"""Work beside the loop: what reads files or computes for long must not hold up the other requests.

A connection that waits for such work takes its next request only when the answer has left, or has
its place in the turn: answers leave in the order in which the requests came.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar, cast

from onward.core.errors import OnwardError
from onward.stages.serve.gateway.protocol.content import RefusedError
from onward.stages.serve.gateway.routing.job import Job

if TYPE_CHECKING:
    from onward.stages.serve.gateway.protocol.http import Connection

T = TypeVar("T")


class Aside:
    """One thread for the work, and `add`, which gives a job its turn."""

    def __init__(self, add: Callable[[Job], None], failed: Callable[[str], bytes]) -> None:
        self._add = add
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

        self._loop.run_in_executor(self._pool, work).add_done_callback(done)

    def after(self, job: Job, work: Callable[[], bytes]) -> None:
        """Have `work` done after the job's turn, and answer with what it gives.

        Where the turn ended otherwise than with 200, that is the answer.
        """
        connection = cast("Connection", job.caller)
        connection.hold()
        job.caller = _After(self, connection, work)

    def finish(self, connection: Connection, work: Callable[[], bytes], keep_alive: bool) -> None:
        """Do the work and answer."""

        def done(future: asyncio.Future[bytes]) -> None:
            status, body = 200, b""
            try:
                body = future.result()
            except Exception as error:
                status, body = self._refusal(error)
            connection.answer(status, body, keep_alive=keep_alive, kind="application/json")
            connection.resume()

        self._loop.run_in_executor(self._pool, work).add_done_callback(done)

    def close(self) -> None:
        """Take no more work; what is under way is not waited for."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _refusal(self, error: Exception) -> tuple[int, bytes]:
        if isinstance(error, OnwardError):
            status = error.status if isinstance(error, RefusedError) else 400
            return status, self._failed(str(error))
        print(f"beside the loop: {error!r}", file=sys.stderr, flush=True)
        return 500, self._failed(f"{type(error).__name__}: {error}")


class _After:
    """The caller of a job whose answer is made beside the loop: equal to its connection, so that
    the log's flush, for which some answers wait, keeps their order.
    """

    def __init__(self, aside: Aside, connection: Connection, work: Callable[[], bytes]) -> None:
        self._aside = aside
        self._connection = connection
        self._work = work

    def __eq__(self, other: object) -> bool:
        return self._connection is other

    def __hash__(self) -> int:
        return hash(self._connection)

    def peer(self) -> str:
        return self._connection.peer()

    def answer(
        self,
        status: int,
        body: bytes,
        *,
        keep_alive: bool,
        kind: str,
        headers: bytes,
        bare: bool,
    ) -> None:
        if status == 200:
            self._aside.finish(self._connection, self._work, keep_alive)
            return
        self._connection.answer(
            status, body, keep_alive=keep_alive, kind=kind, headers=headers, bare=bare
        )
        self._connection.resume()
