"""One event-loop tick: everything that arrived in it is predicted, logged and answered together.

For each arm the rows of all callers go through one model call (`predict.py`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import msgspec

from onward.stages.serve.gateway.admission.admission import late
from onward.stages.serve.gateway.features.lookup import UNAVAILABLE, settle, silent, wanted
from onward.stages.serve.gateway.features.online import Found, Online
from onward.stages.serve.gateway.metrics.counters import Metrics
from onward.stages.serve.gateway.routing.job import Groups, Job, Part
from onward.stages.serve.gateway.telemetry.observer import Observer
from onward.stages.serve.gateway.turn.held import Held
from onward.stages.serve.gateway.turn.predict import predict
from onward.stages.serve.gateway.turn.recorder import Recorder, waits
from onward.stages.serve.gateway.words import say


class Ticker:
    """Collects jobs while the loop reads, then answers them all, in the order they came."""

    def __init__(
        self,
        *,
        metrics: Metrics,
        online: Online,
        recorder: Recorder,
        observer: Observer | None = None,
    ) -> None:
        self._metrics = metrics
        self._online = online
        self._recorder = recorder
        self._observer = observer
        self._held = Held(recorder, self._answer, self._resume)
        self._jobs: list[Job] = []
        self._asking = self._deferred = False
        self._loop = asyncio.get_running_loop()

    def add(self, job: Job) -> None:
        """Answer `job` in this tick; while a remote store is asked, in the one after."""
        if not self._asking and (not self._jobs or (self._deferred and not waits(job))):
            self._deferred = False
            self._loop.call_soon(self.flush)
        self._jobs.append(job)

    def flush(self) -> None:
        """Answer everything that was collected, once the online store has said what it holds.

        What must wait for the disk and finds it busy waits here: it is the next flush that will
        cover it in any case, and the more is predicted at once, the less a prediction costs.
        """
        self._deferred = self._held.busy and all(map(waits, self._jobs))
        if self._deferred:
            return
        jobs, self._jobs = self._jobs, []
        began = _expire(jobs)
        groups = _grouped(jobs)
        asked = [
            parts for (target, direct), parts in groups.items() if target.model.views and not direct
        ]
        if not asked:
            self._finish(jobs, groups, began)
            return
        lookups = [lookup for parts in asked for lookup in wanted(parts)]

        def told(found: Found | Exception) -> None:
            self._asking = False
            try:
                looked_up = self._looked_up(jobs, groups, asked, found)
                _expire(jobs)
            except Exception as error:
                looked_up = {}
                _fail(jobs, error)
            self._finish(jobs, looked_up, began)
            if self._jobs:
                self._loop.call_soon(self.flush)

        self._asking = True
        self._metrics.online_reads += 1
        self._online.read(lookups, told)

    def _resume(self) -> None:
        """Answer what waited for the disk to be free."""
        if self._deferred:
            self._deferred = False
            self._loop.call_soon(self.flush)

    def _looked_up(
        self, jobs: Sequence[Job], groups: Groups, asked: list[list[Part]], found: Found | Exception
    ) -> Groups:
        """Give the parts that asked for views what was found; divide those with refused rows."""
        if isinstance(found, Exception):
            self._metrics.online_failures += 1
            for parts in asked:
                for part in parts:
                    part.fail(UNAVAILABLE, silent(found))
            return groups
        rows = iter(found)
        for parts in asked:
            settle(parts, [next(rows) for _ in parts[0].target.model.views])
        if not any(part.refused for parts in asked for part in parts):
            return groups
        for job in jobs:
            if any(part.refused for part in job.parts):
                job.parts = [each for part in job.parts for each in part.divided()]
        return _grouped(jobs)

    def _finish(self, jobs: Sequence[Job], groups: Groups, began: int) -> None:
        try:
            holding = self._predicted(jobs, groups, began)
        except Exception as error:
            holding = False
            _fail(jobs, error)
        held = self._held
        if not (holding or held):
            for job in jobs:
                self._answer(job)
            return
        for job in jobs:
            if job.position or job.caller in held:  # answers leave in the order of the requests
                held.add(job)
            else:
                self._answer(job)

    def _predicted(self, jobs: Sequence[Job], groups: Groups, began: int) -> bool:
        """Predict and log; return whether some answers must wait for the disk."""
        observer = self._observer
        looked_up = 0 if observer is None else time.perf_counter_ns()
        for (target, _), parts in groups.items():
            ready = [part for part in parts if part.status == 200]
            if ready:
                predict(target, ready)
        predicted = 0 if observer is None else time.perf_counter_ns()
        holding = self._recorder.record(jobs, groups)
        if observer is not None:
            observer.turned(jobs, (began, looked_up, predicted, time.perf_counter_ns()))
        return holding

    def _answer(self, job: Job) -> None:
        if job.refusal is not None:
            status, body = 503, job.refusal
        elif job.reply is not None:
            try:
                status, body = job.reply(job)
            except Exception as error:
                _fail([job], error)
                status, body = job.status, job.body
        else:
            status, body = job.status, job.body
        if job.later is None:
            self.answer(job, status, body)
        else:
            job.later(status, body)

    def answer(self, job: Job, status: int, body: bytes) -> None:
        """Answer a job whose turn is over, and count it out."""
        now = time.perf_counter_ns()
        self._metrics.answered(job.route, status, now - job.started, job.admitted)
        if self._observer is not None:
            self._observer.answered(job, status, now, len(body))
        job.caller.answer(
            status, body,
            keep_alive=job.keep_alive, kind=job.kind, headers=job.headers, bare=job.bare,
        )  # fmt: skip


def _expire(jobs: Sequence[Job]) -> int:
    """Give up the jobs whose callers have stopped waiting: their rows are not predicted.

    Returns the time, as `Job.started` has it.
    """
    now = time.perf_counter_ns()
    for job in jobs:
        if 0 < job.deadline < now:
            late(job)
    return now


def _fail(jobs: Sequence[Job], error: Exception) -> None:
    """Answer jobs that a fault of ours has left without an answer: nobody waits for ever."""
    body = msgspec.json.encode({"error": f"{type(error).__name__}: {error}"})
    say(f"a turn failed: {error!r}")
    for job in jobs:
        job.ready(500, body)
        job.position, job.refusal = 0, None


def _grouped(jobs: Sequence[Job]) -> Groups:
    groups: Groups = {}
    for job in jobs:
        for part in job.parts:
            direct = part.requests is None or part.status != 200  # what failed is not looked up
            groups.setdefault((part.target, direct), []).append(part)
    return groups
