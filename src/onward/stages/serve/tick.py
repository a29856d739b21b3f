"""One event-loop tick: everything that arrived in it is predicted, logged and answered together.

For each arm the rows of all callers go through one model call. What one caller sent never shows
in another's answer: where a batch fails, each caller's part is computed again on its own.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, Protocol

from onward.core.errors import DataError
from onward.stages.serve.live import Target
from onward.stages.serve.log import PredictionLog
from onward.stages.serve.metrics import Metrics
from onward.stages.serve.port import OnlineReader
from onward.stages.serve.segment import Batch

if TYPE_CHECKING:
    import numpy as np

UNLOGGED = "unlogged"
"""The id of predictions that could not be logged, where the gateway serves them all the same."""


class Part:
    """One caller's rows for one arm.

    Either `requests` (values in the order of the arm's request columns) or `numbers` and `texts`
    (features, row by row) hold the rows. `places` says where they stand in the caller's body.
    """

    __slots__ = (
        "at", "at_us", "computed", "error", "ids", "job", "latency_us", "numbers", "output",
        "places", "requests", "status", "target", "texts", "units",
    )  # fmt: skip

    def __init__(self, target: Target, at: datetime, at_us: int) -> None:
        self.target = target
        self.at = at
        self.at_us = at_us
        self.units: list[str] = []
        self.places: list[int] = []
        self.requests: list[tuple[Any, ...]] | None = None
        self.numbers: list[float | None] = []
        self.texts: list[tuple[str | None, ...]] = []
        self.status = 200
        self.error: str | None = None
        self.computed: np.ndarray | None = None
        self.output: np.ndarray | None = None
        self.ids: list[str] = []
        self.latency_us = 0


class Caller(Protocol):
    """Who is waiting for an answer."""

    def answer(self, status: int, body: bytes, *, keep_alive: bool, kind: str) -> None:
        """Send the answer, if the caller is still there."""
        ...


class Job:
    """One request under way: its parts and how to answer it, or an answer that is ready."""

    __slots__ = (
        "body",
        "caller",
        "keep_alive",
        "kind",
        "parts",
        "reply",
        "route",
        "started",
        "status",
    )

    def __init__(self, caller: Caller, *, route: str, keep_alive: bool) -> None:
        self.caller = caller
        self.route = route
        self.keep_alive = keep_alive
        self.kind = "application/json"
        self.started = time.perf_counter_ns()
        self.parts: Sequence[Part] = ()
        self.status = 200
        self.body = b""
        self.reply: Callable[[Job], tuple[int, bytes]] | None = None

    def ready(self, status: int, body: bytes, kind: str = "application/json") -> None:
        """Give the answer that needs no prediction."""
        self.status, self.body, self.kind, self.parts, self.reply = status, body, kind, (), None


class Ticker:
    """Collects jobs while the loop reads, then answers them all, in the order they came."""

    def __init__(
        self,
        *,
        metrics: Metrics,
        log: PredictionLog | None,
        online: OnlineReader | None,
        on_log_failure: Literal["refuse", "serve"],
        refusal: Callable[[OSError], bytes],
    ) -> None:
        self._metrics = metrics
        self._log = log
        self._online = online
        self._refuse = on_log_failure == "refuse"
        self._refusal = refusal
        self._jobs: list[Job] = []
        self._loop = asyncio.get_running_loop()

    def add(self, job: Job) -> None:
        """Answer `job` in this tick."""
        if not self._jobs:
            self._loop.call_soon(self.flush)
        self._jobs.append(job)

    def flush(self) -> None:
        """Answer everything that was collected."""
        jobs, self._jobs = self._jobs, []
        groups: dict[tuple[Target, bool], list[Part]] = {}
        for job in jobs:
            for part in job.parts:
                groups.setdefault((part.target, part.requests is None), []).append(part)
        for (target, _), parts in groups.items():
            self._predict(target, parts)
        refusal = self._record(jobs, groups) if groups else None
        for job in jobs:
            self._answer(job, refusal)

    def _answer(self, job: Job, refusal: bytes | None) -> None:
        if job.reply is not None:
            status, body = job.reply(job) if refusal is None else (503, refusal)
        else:
            status, body = job.status, job.body
        self._metrics.answered(job.route, status, time.perf_counter_ns() - job.started)
        job.caller.answer(status, body, keep_alive=job.keep_alive, kind=job.kind)

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
        found: dict[str, Any] = {}
        for view in plan.views:
            entities = list(zip(*(request[name] for name in view.entity), strict=True))
            values = self._looked_up(view, entities, parts)
            missing = (None,) * len(view.columns)
            columns = zip(*(missing if v is None else v for v in values), strict=True)
            found.update(
                (f"{view.name}__{c}", v) for c, v in zip(view.columns, columns, strict=True)
            )
        if plan.on_demand:
            found.update(target.model.request_features.columns(request))
        numbers = np.full((len(rows), len(plan.columns)), np.nan)
        for position, column in enumerate(plan.columns):
            if column.dtype != "string":
                numbers[:, position] = found[column.name]
        strings = [found[plan.columns[position].name] for position in target.model.strings]
        return numbers, list(zip(*strings, strict=True)) if strings else [()] * len(rows)

    def _looked_up(
        self, view: Any, entities: list[tuple[Any, ...]], parts: Sequence[Part]
    ) -> Sequence[tuple[Any, ...] | None]:
        """Read the online store once per moment: once per tick, but in a replay."""
        if self._online is None:
            return [None] * len(entities)
        moments = [part.at for part in parts for _ in part.units]
        if moments[0] == moments[-1] and len(set(moments)) == 1:
            return self._online.read(view, entities, moments[0])
        found: list[tuple[Any, ...] | None] = [None] * len(entities)
        for moment in set(moments):
            at = [i for i, m in enumerate(moments) if m == moment]
            values = self._online.read(view, [entities[i] for i in at], moment)
            for i, value in zip(at, values, strict=True):
                found[i] = value
        return found

    # ------------------------------------------------------------ logging

    def _record(
        self, jobs: Sequence[Job], groups: dict[tuple[Target, bool], list[Part]]
    ) -> bytes | None:
        """Log every part that counts as a prediction; return the refusal where that fails."""
        now = time.perf_counter_ns()
        for job in jobs:
            for part in job.parts:
                part.latency_us = (now - job.started) // 1000
        kept = []
        for (target, _), parts in groups.items():
            counted = [part for part in parts if part.status != 400]
            if counted:
                kept.append((target, counted))
        if self._log is None:
            addresses = [UNLOGGED] * len(kept)
        else:
            try:
                addresses = self._log.append(
                    [(target.header, _batch(target, parts)) for target, parts in kept]
                )
            except OSError as error:
                self._metrics.log_failures += 1
                if self._refuse:
                    return self._refusal(error)
                addresses = [UNLOGGED] * len(kept)
        counts = self._metrics.predictions
        for (target, parts), address in zip(kept, addresses, strict=True):
            row = 0
            model = target.model
            for part in parts:
                n = len(part.units)
                part.ids = (
                    [UNLOGGED] * n
                    if address is UNLOGGED
                    else [f"{address}.{i:x}" for i in range(row, row + n)]
                )
                row += n
                counts[model.name, model.version, target.arm, part.status] += n
        return None


def _batch(target: Target, parts: Sequence[Part]) -> Batch:
    import numpy as np

    width, k = target.model.width, len(target.model.plan.columns)
    at, units, status, latency = [], [], [], []
    requests: list[tuple[Any, ...] | None] = []
    errors: list[str | None] = []
    features, outputs = [], []
    for part in parts:
        n = len(part.units)
        at += [part.at_us] * n
        units += part.units
        status += [part.status] * n
        latency += [part.latency_us] * n
        requests.extend(part.requests or itertools.repeat(None, n))
        errors += [part.error] * n
        computed, output = part.computed, part.output
        features.append(np.full((n, k), np.nan) if computed is None else computed)
        outputs.append(np.full((n, width), np.nan) if output is None else output)
    texts = None
    if target.model.strings:
        unknown: tuple[str | None, ...] = (None,) * len(target.model.strings)
        texts = [
            row
            for part in parts
            for row in (part.texts if part.computed is not None else [unknown] * len(part.units))
        ]
    return Batch(
        header=0,
        at=at,
        unit=units,
        status=status,
        latency_us=latency,
        requests=requests,
        features=b"".join(f.tobytes() for f in features),
        strings=texts,
        output=b"".join(o.tobytes() for o in outputs),
        errors=errors if any(errors) else None,
    )
