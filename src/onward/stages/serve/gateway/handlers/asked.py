"""Versions that no route needs, for those who ask for them by number.

A request for one that is not in memory waits until it is, beside the event loop, and no longer than
its deadline; the requests behind it on the same connection wait with it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from math import ceil
from typing import TYPE_CHECKING, Final, cast

from onward.core.errors import OnwardError
from onward.core.records import ImageRef
from onward.stages.serve.gateway.admission.admission import LATE
from onward.stages.serve.gateway.handlers.calls import error_body
from onward.stages.serve.gateway.protocol.http import Headers
from onward.stages.serve.gateway.routing.job import Handler, Job
from onward.stages.serve.gateway.routing.live import Live
from onward.stages.serve.gateway.routing.versions import Models, NoRoomError
from onward.stages.serve.gateway.words import say

if TYPE_CHECKING:
    from onward.stages.serve.gateway.protocol.http import Connection

UNAVAILABLE: Final = 503

AGAIN_S: Final = 5.0
"""Seconds until a version is tried again that could not be loaded, or never has room."""

Call = Callable[[], None]


@dataclass(slots=True, eq=False)
class _Load:
    """A load that is under way: who waits for it, what each then calls, and until when it waits."""

    model: str
    waiting: dict[Job, tuple[Call, asyncio.TimerHandle | None]] = field(default_factory=dict)


class Asked:
    """Answers for versions beside the routes.

    Parameters
    ----------
    models
        Loads them, and lets go of them.
    turn
        Gives a job that has waited, for a model, its turn, and first calls what it is given.
    """

    def __init__(self, models: Models, turn: Callable[[Job, str, Call], None]) -> None:
        self._models = models
        self._turn = turn
        self._loads: dict[str, _Load] = {}
        self._refused: dict[str, tuple[float, str]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def handler(
        self, routes: Live, image: ImageRef, what: str, make: Callable[[Live], Handler]
    ) -> Handler:
        """Return what answers for a version by the handler that `make` makes, one for each `what`.

        Its predictions are logged as those of `routes` are.
        """

        def answer(job: Job, body: bytes, headers: Headers) -> None:
            beside = self._models.beside(image.digest)
            if beside is None:
                self._wait(routes, image, job, lambda: answer(job, body, headers))
                return
            made = beside.handlers.get(what)
            if made is None:
                made = beside.handlers[what] = make(beside.live)
            made(job, body, headers)

        return answer

    def there(self, image: ImageRef) -> bool:
        """Whether a version would be answered for at once."""
        return self._models.beside(image.digest, asked=False) is not None

    def _wait(self, routes: Live, image: ImageRef, job: Job, call: Call) -> None:
        until, reason = self._refused.get(image.digest, (0.0, ""))
        left_s = until - time.monotonic()
        if left_s > 0:
            _refuse(job, reason, left_s)
            return
        cast("Connection", job.caller).hold()
        job.held = True
        load = self._loads.get(image.digest)
        if load is None:
            load = self._loads[image.digest] = _Load(routes.routes.model)
            task = asyncio.create_task(self._load(routes, image, load))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        timer = None
        if job.deadline:
            left_s = max(0, job.deadline - time.perf_counter_ns()) / 1e9
            timer = asyncio.get_running_loop().call_later(left_s, self._expire, load, job)
        load.waiting[job] = call, timer

    async def _load(self, routes: Live, image: ImageRef, load: _Load) -> None:
        """Load a version, and give those who wait for it their turn."""
        reason, again_s = None, AGAIN_S
        try:
            await self._models.ask(routes.route_of(image), lambda model: routes.alone(image, model))
        except Exception as error:
            reason = str(error) if isinstance(error, OnwardError) else repr(error)
            if isinstance(error, NoRoomError):
                again_s = error.again_s or AGAIN_S
            self._refused[image.digest] = time.monotonic() + again_s, reason
            say(f"{load.model}: version {image.model.version} is not loaded: {reason}")
        else:
            self._refused.pop(image.digest, None)
        del self._loads[image.digest]
        for job, (call, timer) in load.waiting.items():
            if timer is not None:
                timer.cancel()
            if reason is not None:
                _refuse(job, reason, again_s)
            self._turn(job, load.model, call if reason is None else _nothing)
        self._models.tidy()

    def _expire(self, load: _Load, job: Job) -> None:
        """Answer a job whose deadline passed before its version was loaded."""
        del load.waiting[job]
        waited = (job.deadline - job.started) / 1e6
        job.ready(LATE, error_body(f"the deadline of {waited:g} ms passed while it was loaded"))
        self._turn(job, load.model, _nothing)


def _refuse(job: Job, reason: str, again_s: float) -> None:
    job.ready(UNAVAILABLE, error_body(reason))
    job.headers += b"\r\nRetry-After: %d" % ceil(again_s)


def _nothing() -> None:
    """There is nothing to call."""
