"""Logging what a tick answers, and what becomes of an answer that cannot be logged."""

from __future__ import annotations

import errno
import struct
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from onward.core.records import Logging
from onward.stages.serve.gateway.metrics.counters import Metrics
from onward.stages.serve.gateway.routing.job import Groups, Job, Part
from onward.stages.serve.gateway.routing.live import Target
from onward.stages.serve.log.segment import Batch, encode
from onward.stages.serve.log.writer import PredictionLog

if TYPE_CHECKING:
    import numpy as np

T = TypeVar("T")

_NAN: Final = struct.pack("<d", float("nan"))

RETRY_AFTER: Final = b"\r\nRetry-After: 1"

Kept = list[tuple[Target, list[Part]]]
"""What of a tick counts as predictions, by arm."""


class Recorder:
    """Writes the log, by the guarantee and the policy of each deployment.

    With no `log` nothing is logged, which is no failure.
    """

    def __init__(self, *, metrics: Metrics, log: PredictionLog | None) -> None:
        self.log = log
        self._metrics = metrics

    def record(self, jobs: Sequence[Job], groups: Groups) -> bool:
        """Log every part that counts as a prediction, and the feedback that jobs bring.

        Returns whether answers must wait: these jobs then have the `position` whose flush covers
        them. What could not be written is refused, or served unlogged.
        """
        telling = [job for job in jobs if job.feedback is not None]
        if not (groups or telling):
            return False
        now = time.perf_counter_ns()
        for job in jobs:
            for part in job.parts:
                part.latency_us = (now - job.started) // 1000
        kept: Kept = []
        for (target, _), parts in groups.items():
            counted = [part for part in parts if part.status != 400]
            if counted:
                kept.append((target, counted))
        served, logged = self._logged(jobs, kept, telling)
        self._count(served)
        return logged and self._must_wait(jobs, kept, telling)

    def _logged(self, jobs: Sequence[Job], kept: Kept, telling: Sequence[Job]) -> tuple[Kept, bool]:
        """Write the log; return what of `kept` is answered, and whether it is in the log."""
        if self.log is None:
            for job in telling:
                self.unlogged(job, OSError(errno.ENOENT, "this gateway keeps none"))
            return kept, False
        if not (kept or telling):
            return kept, False
        try:
            self._write(self.log, kept, telling)
        except OverflowError:
            return self._logged(jobs, _storable(kept), telling)
        except OSError as error:
            self._metrics.log_failures += 1
            self._metrics.log_failing = True
            for job in jobs:
                self.unlogged(job, error)
            return [each for each in kept if each[0].logging.on_failure == "serve"], False
        self._metrics.log_failing = False
        return kept, True

    def unlogged(self, job: Job, error: OSError) -> None:
        """Refuse a job that could not be logged, or let its rows be served without ids."""
        rows = sum(len(part.units) for part in job.parts if part.status != 400)
        if job.feedback is not None or (rows and _logging(job).on_failure == "refuse"):
            job.refusal = msgspec.json.encode({"error": _refusal(error)})
            job.headers += RETRY_AFTER
        elif rows:
            name = job.parts[0].target.model.name
            self._metrics.unlogged[name] += rows
            for part in job.parts:
                part.ids = ()

    def _must_wait(self, jobs: Sequence[Job], kept: Kept, telling: Sequence[Job]) -> bool:
        """Say of each job that was logged what it waits for, if it does."""
        log = self.log
        if log is None:  # pragma: no cover - it was written to a moment ago
            return False
        behind = log.behind(time.perf_counter_ns())
        asked = [*(target.logging for target, _ in kept), *map(_logging, telling)]
        if not behind and all(logging.guarantee == "fast" for logging in asked):
            return False
        waiting = False
        for job in jobs:
            logged = job.feedback is not None or any(part.status != 400 for part in job.parts)
            if logged and (behind or _logging(job).guarantee == "strict"):
                job.position = log.position
                waiting = True
        if waiting:
            log.hurry()
        return waiting

    def _count(self, kept: Kept) -> None:
        counts = self._metrics.predictions
        for target, parts in kept:
            name, version = target.model.name, target.model.version
            add = self._metrics.arm(name, version, target.arm).add
            rows: dict[int, int] = {}
            for part in parts:
                add(part.latency_us * 1000)
                rows[part.status] = rows.get(part.status, 0) + len(part.units)
            for status, count in rows.items():
                counts[name, version, target.arm, status] += count

    def _write(self, log: PredictionLog, kept: Kept, telling: Sequence[Job]) -> None:
        batches = [(target.header, _batch(target, parts)) for target, parts in kept]
        told = [job.feedback for job in telling if job.feedback is not None]
        addresses = log.append(batches, told)
        for job, feedback, address in zip(telling, told, addresses[len(kept) :], strict=True):
            job.told = [f"{address}.{row:x}" for row in range(len(feedback.at))]
        for (_, parts), address in zip(kept, addresses, strict=False):
            rows = sum(len(part.units) for part in parts)
            ids = [f"{address}.{row:x}" for row in range(rows)]
            begin = 0
            for part in parts:
                end = begin + len(part.units)
                part.ids = ids[begin:end]
                begin = end


def waits(job: Job) -> bool:
    """Whether the answer will have to wait for the disk, however quick that is."""
    logged = bool(job.parts) or job.feedback is not None
    return logged and _logging(job).guarantee == "strict"


def _logging(job: Job) -> Logging:
    return job.parts[0].target.logging if job.parts else job.logging


def _refusal(error: OSError) -> str:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    reason = "the disk of the prediction log is full" if full else "the prediction log failed"
    return f"{reason} ({error.strerror or error}): what cannot be logged is not answered"


def _storable(kept: Kept) -> Kept:
    """Return what the log can hold, and refuse the rows of those who sent what it cannot.

    That is a moment whose offset leads out of the calendar, or a whole number of more than 64 bits
    in a column that takes anything, as arms disagree on its type.

    Raises
    ------
    OverflowError
        It was for another reason that the log could not hold them.
    """
    refused = [part for _, parts in kept for part in parts if not _fits(part)]
    if not refused:
        raise OverflowError("the prediction log cannot hold what was predicted")
    for part in refused:
        part.fail(
            400, "a row holds a number of more than 64 bits, or a time beyond years 1 to 9999"
        )
        part.output = None
    left = [(target, [part for part in parts if part.status != 400]) for target, parts in kept]
    return [(target, parts) for target, parts in left if parts]


def _fits(part: Part) -> bool:
    try:
        encode(part.requests)
    except OverflowError:
        return False
    return True


def _batch(target: Target, parts: Sequence[Part]) -> Batch:
    width, k = target.model.width, len(target.model.plan.columns)
    rows = [len(part.units) for part in parts]
    total = sum(rows)
    texts = None
    if target.model.strings:
        unknown: tuple[str | None, ...] = (None,) * len(target.model.strings)
        texts = [
            row
            for part, n in zip(parts, rows, strict=True)
            for row in (part.texts if part.computed is not None else [unknown] * n)
        ]
    return Batch(
        header=0,
        at=_each([part.at_us for part in parts], rows),
        unit=[unit for part in parts for unit in part.units],
        status=_each([part.status for part in parts], rows),
        latency_us=_each([part.latency_us for part in parts], rows),
        requests=_joined([part.requests for part in parts], rows) or [None] * total,
        features=_figures([part.computed for part in parts], rows, k),
        strings=texts,
        output=_figures([part.output for part in parts], rows, width),
        errors=_each([part.error for part in parts], rows) if any(p.error for p in parts) else None,
        marks=_joined([part.marks for part in parts], rows),
    )


def _each(values: list[T], rows: Sequence[int]) -> list[T]:
    """Return what parts have, for each of their rows."""
    if len(values) == sum(rows):
        return values
    return [value for value, n in zip(values, rows, strict=True) for _ in range(n)]


def _joined(
    given: Sequence[Sequence[T | None] | None], rows: Sequence[int]
) -> list[T | None] | None:
    """Return what each row of the parts has, None of a part that has nothing; None if none has."""
    if not any(given):
        return None
    each = (own or [None] * n for own, n in zip(given, rows, strict=True))
    return [value for own in each for value in own]


def _figures(given: Sequence[np.ndarray | None], rows: Sequence[int], width: int) -> bytes:
    """Return matrices one below the other, NaN for the rows of a part that has none."""
    return b"".join(
        [
            _NAN * (n * width) if own is None else own.tobytes()
            for own, n in zip(given, rows, strict=True)
        ]
    )
