"""One event-loop tick: everything that arrived in it is predicted, logged and answered together.

For each arm the rows of all callers go through one model call. What one caller sent never shows
in another's answer: where a batch fails, each caller's part is computed again on its own.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from onward.core.errors import DataError
from onward.stages.serve.gateway.admission import late
from onward.stages.serve.gateway.held import Held
from onward.stages.serve.gateway.job import Groups, Job, Part
from onward.stages.serve.gateway.live import Target
from onward.stages.serve.gateway.lookup import UNAVAILABLE, named, settle, silent, wanted
from onward.stages.serve.gateway.metrics import Metrics
from onward.stages.serve.gateway.online import Found, Online
from onward.stages.serve.gateway.recorder import Recorder

if TYPE_CHECKING:
    import numpy as np


class Ticker:
    """Collects jobs while the loop reads, then answers them all, in the order they came."""

    def __init__(
        self,
        *,
        metrics: Metrics,
        online: Online,
        recorder: Recorder,
    ) -> None:
        self._metrics = metrics
        self._online = online
        self._recorder = recorder
        self._held = Held(recorder, self._answer)
        self._jobs: list[Job] = []
        self._asking = False
        self._loop = asyncio.get_running_loop()

    def add(self, job: Job) -> None:
        """Answer `job` in this tick; while a remote store is asked, in the one after."""
        if not self._jobs and not self._asking:
            self._loop.call_soon(self.flush)
        self._jobs.append(job)

    def flush(self) -> None:
        """Answer everything that was collected, once the online store has said what it holds."""
        jobs, self._jobs = self._jobs, []
        _expire(jobs)
        groups = _grouped(jobs)
        asked = [
            parts for (target, direct), parts in groups.items() if target.model.views and not direct
        ]
        if not asked:
            self._finish(jobs, groups)
            return
        lookups = [lookup for parts in asked for lookup in wanted(parts)]

        def told(found: Found | Exception) -> None:
            self._asking = False
            try:
                looked_up = self._looked_up(jobs, groups, asked, found)
                _expire(jobs)
                self._finish(jobs, looked_up)
            finally:
                if self._jobs:
                    self._loop.call_soon(self.flush)

        self._asking = True
        self._metrics.online_reads += 1
        self._online.read(lookups, told)

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

    def _finish(self, jobs: Sequence[Job], groups: Groups) -> None:
        for (target, _), parts in groups.items():
            ready = [part for part in parts if part.status == 200]
            if ready:
                self._predict(target, ready)
        holding = self._recorder.record(jobs, groups)
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

    def _answer(self, job: Job) -> None:
        if job.refusal is not None:
            status, body = 503, job.refusal
        elif job.reply is not None:
            status, body = job.reply(job)
        else:
            status, body = job.status, job.body
        took = time.perf_counter_ns() - job.started
        self._metrics.answered(job.route, status, took, job.admitted)
        job.caller.answer(
            status, body,
            keep_alive=job.keep_alive, kind=job.kind, headers=job.headers, bare=job.bare,
        )  # fmt: skip

    # ------------------------------------------------------------ predicting

    def _predict(self, target: Target, parts: Sequence[Part]) -> None:
        import numpy as np

        try:
            numbers, texts = self._features(target, parts)
        except Exception as error:
            self._apart(target, parts, error)
            return
        begin = 0
        for part in parts:
            end = begin + len(part.units)
            part.computed, part.texts = numbers[begin:end], texts[begin:end]
            begin = end
        try:
            found = target.model.call(numbers, texts)
            if found.shape != (len(numbers), target.model.width) or not np.isfinite(found).all():
                raise ArithmeticError(f"the model gave {found.shape} figures, or NaN among them")
        except Exception as error:
            self._apart(target, parts, error)
            return
        begin = 0
        for part in parts:
            end = begin + len(part.units)
            part.output = found[begin:end]
            begin = end

    def _apart(self, target: Target, parts: Sequence[Part], error: Exception) -> None:
        if len(parts) > 1:
            for part in parts:
                self._predict(target, [part])
            return
        [part] = parts
        part.status = 400 if isinstance(error, DataError) else 500
        part.error = str(error) if part.status == 400 else f"{type(error).__name__}: {error}"

    def _features(
        self, target: Target, parts: Sequence[Part]
    ) -> tuple[np.ndarray, list[tuple[str | None, ...]]]:
        """Return (n, n_features) numbers and n rows of text features for all parts' rows."""
        import numpy as np

        plan = target.model.plan
        if parts[0].requests is None:
            flat = parts[0].numbers
            texts = parts[0].texts
            if len(parts) > 1:
                flat = [value for part in parts for value in part.numbers]
                texts = [row for part in parts for row in part.texts]
            return np.array(flat, dtype=np.float64).reshape(-1, len(plan.columns)), texts
        rows = [row for part in parts for row in part.requests or ()]
        request = dict(zip([c.name for c in plan.request], zip(*rows, strict=True), strict=True))
        views = target.model.views
        found = named(views, [row for part in parts for row in part.looked_up]) if views else {}
        if plan.on_demand:
            found |= target.model.request_features.columns(request)
        numbers = np.full((len(rows), len(plan.columns)), np.nan)
        for position, column in enumerate(plan.columns):
            if column.dtype != "string":
                numbers[:, position] = found[column.name]
        strings = [found[plan.columns[position].name] for position in target.model.strings]
        return numbers, list(zip(*strings, strict=True)) if strings else [()] * len(rows)


def _expire(jobs: Sequence[Job]) -> None:
    """Give up the jobs whose callers have stopped waiting: their rows are not predicted."""
    now = time.perf_counter_ns()
    for job in jobs:
        if 0 < job.deadline < now:
            late(job)


def _grouped(jobs: Sequence[Job]) -> Groups:
    groups: Groups = {}
    for job in jobs:
        for part in job.parts:
            direct = part.requests is None or part.status != 200  # what failed is not looked up
            groups.setdefault((part.target, direct), []).append(part)
    return groups
