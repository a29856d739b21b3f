"""Whether a request is let in: REST and gRPC ask here, before a body is read for its meaning.

A gateway answers what it can in time, and says at once, and cheaply, what it cannot: the requests
that wait are bounded in number and in bytes, and one whose caller has stopped waiting before its
turn is answered without a prediction.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from onward.core.errors import DataError
from onward.core.records import Routes
from onward.stages.serve.gateway.admission.callers import Gate
from onward.stages.serve.gateway.limits import Limits
from onward.stages.serve.gateway.metrics.counters import Metrics
from onward.stages.serve.gateway.protocol.content import RefusedError
from onward.stages.serve.gateway.routing.job import Job

DEADLINE: Final = b"onward-deadline-ms"
"""The header that says how many milliseconds the caller waits for the answer."""

GRPC_TIMEOUT: Final = b"grpc-timeout"
"""The same in gRPC's words: up to eight digits and a unit."""

_UNITS_NS: Final = {
    b"H": 3_600_000_000_000, b"M": 60_000_000_000, b"S": 1_000_000_000, b"m": 1_000_000,
    b"u": 1_000, b"n": 1,
}  # fmt: skip

BUSY: Final = 429
TOO_LARGE: Final = 413
LATE: Final = 504
"""The status of a request whose deadline passed before its turn. Its rows are in the log with this
status, without features or output, and are counted like any others of their arm.
"""


class Admission:
    """Lets requests in, and counts those that are; `Metrics.answered` counts them out."""

    def __init__(self, limits: Limits, metrics: Metrics, gate: Gate | None = None) -> None:
        self._metrics = metrics
        self._gate = gate
        self._waiting = limits.waiting
        self._bytes = limits.waiting_bytes
        self._rows: Mapping[str, int] = {}
        self._most_rows = limits.rows
        self._deadlines: Mapping[str, int] = {}
        self._default_ns = 0 if limits.deadline_s is None else round(limits.deadline_s * 1e9)
        self._full = msgspec.json.encode(
            {"error": f"{limits.waiting:,} requests wait already; try again in a second"}
        )

    def let(self, job: Job, model: str, headers: Mapping[bytes, bytes]) -> bool:
        """Whether who asks may, and not too often; if not, the request has its refusal."""
        return self._gate is None or self._gate.let(job, model, headers)

    def serve(self, routes: Iterable[Routes]) -> None:
        """Keep to what deployments say of their requests, from the next one on."""
        found = list(routes)
        self._rows = {r.model: r.rows for r in found if r.rows is not None}
        self._deadlines = {
            r.model: round(r.deadline_s * 1e9) for r in found if r.deadline_s is not None
        }

    def admit(self, job: Job, model: str, headers: Mapping[bytes, bytes], size: int) -> bool:
        """Let a request to a model, with a body of `size` bytes, in, or give it its refusal.

        `headers` are read for the deadline only: `onward-deadline-ms`, or `grpc-timeout`.

        Raises
        ------
        DataError
            The deadline cannot be read.
        """
        metrics = self._metrics
        if metrics.waiting >= self._waiting or metrics.waiting_bytes + size > self._bytes:
            metrics.refused["queue"] += 1
            job.ready(BUSY, self._full)
            job.headers += b"\r\nRetry-After: 1"
            return False
        if DEADLINE in headers or GRPC_TIMEOUT in headers:
            job.deadline = job.started + _wait_ns(headers)
        elif wait_ns := self._deadlines.get(model, self._default_ns):
            job.deadline = job.started + wait_ns
        metrics.waiting += 1
        metrics.waiting_bytes += size
        job.admitted = size
        return True

    def grow(self, job: Job, size: int) -> None:
        """Count a request that was let in by the size of its body once that is decompressed.

        Raises
        ------
        RefusedError
            Too much waits already.
        """
        metrics = self._metrics
        more = max(0, size - job.admitted)
        if metrics.waiting_bytes + more > self._bytes:
            metrics.refused["queue"] += 1
            job.headers += b"\r\nRetry-After: 1"
            raise RefusedError(BUSY, "decompressed, it is too much beside what waits already")
        metrics.waiting_bytes += more
        job.admitted += more

    def measure(self, job: Job, model: str) -> None:
        """Refuse a request of too many rows, now that they are known."""
        parts = job.parts
        rows = len(parts[0].units) if len(parts) == 1 else sum(len(p.units) for p in parts)
        most = self._rows.get(model, self._most_rows)
        if rows > most:
            self._metrics.refused["rows"] += 1
            body = {"error": f"the request has {rows:,} rows; at most {most:,} are taken"}
            job.ready(TOO_LARGE, msgspec.json.encode(body))


def late(job: Job) -> None:
    """Fail the parts of a job whose deadline has passed."""
    waited = (job.deadline - job.started) / 1e6
    for part in job.parts:
        if part.status == 200:
            part.fail(LATE, f"the deadline of {waited:g} ms passed before the request's turn")


def _wait_ns(headers: Mapping[bytes, bytes]) -> int:
    told = headers.get(DEADLINE)
    if told is not None:
        if told.isdigit() and len(told) <= 9:
            return int(told) * 1_000_000
        raise DataError(
            f"the header {DEADLINE.decode()} is {told.decode(errors='replace')!r}",
            expected="whole milliseconds, such as 250",
        )
    told = headers[GRPC_TIMEOUT]
    unit = _UNITS_NS.get(told[-1:])
    if unit is None or not told[:-1].isdigit() or len(told) > 9:
        raise DataError(
            f"grpc-timeout is {told.decode(errors='replace')!r}", expected="such as 250m"
        )
    return int(told[:-1]) * unit
