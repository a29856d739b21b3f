"""Watching requests go by: the loop's side of the access log and of traces."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from onward.core.ports.spans import Span, SpanExporter
from onward.stages.serve.gateway.job import Job
from onward.stages.serve.gateway.metrics import Metrics
from onward.stages.serve.gateway.settings import TelemetryConfig
from onward.stages.serve.gateway.telemetry.access_log import AccessLog, Entry, moment
from onward.stages.serve.gateway.telemetry.context import Trace, trace_of
from onward.stages.serve.gateway.telemetry.ring import Ring

REQUEST_ID: Final = b"x-request-id"
STEPS: Final = ("queue", "lookup", "predict", "log")
"""The steps of a request's turn: each ends at a mark, and the next begins there."""

_LONGEST_ID: Final = 128
_QUIET: Final = frozenset({"health", "metrics", "routes"})
_SIZE: Final = 1 << 16


class Seen(NamedTuple):
    """A request as it went by, by the loop's clock; `arms` are model, version, arm and rows."""

    id: str
    who: str
    route: str
    arms: tuple[tuple[str, int, str, int], ...]
    status: int
    started: int
    ended: int
    bytes_in: int
    bytes_out: int
    trace: Trace | None


class Observer:
    """Notes what goes by, and has it told beside the loop.

    Health, metrics and routes are asked for all the time, and not noted; what failed is, always.
    """

    def __init__(
        self, config: TelemetryConfig, metrics: Metrics, exporter: SpanExporter | None
    ) -> None:
        self._epoch = time.time_ns() - time.perf_counter_ns()
        self._born = f"{time.time_ns():x}"
        self._numbers = itertools.count()
        self._ratio = config.access_ratio
        self._trace_ratio = config.trace_ratio
        self._lines: Ring[Seen] | None = None
        self._spans: Ring[Seen] | None = None
        if config.access_log:
            self._log = AccessLog(Path(config.access_log))
            self._lines = Ring(self._tell, name="access-log", size=_SIZE, every_s=0.2)
        if exporter is not None:
            self._exporter = exporter
            self._spans = Ring(self._send, name="traces", size=_SIZE, every_s=1.0)
        metrics.untold = self._dropped

    def begin(self, job: Job, headers: Mapping[bytes, bytes]) -> None:
        """Note a request's arrival."""
        if self._spans is not None and job.route not in _QUIET:
            job.trace = trace_of(headers, self._trace_ratio)
        if self._lines is not None:
            given = headers.get(REQUEST_ID)
            if given is not None and len(given) <= _LONGEST_ID and given.isascii():
                job.id = given.decode()
            else:
                job.id = f"{self._born}-{next(self._numbers):x}"
            job.headers += b"\r\nX-Request-Id: " + job.id.encode()

    def turned(self, jobs: Sequence[Job], marks: tuple[int, ...]) -> None:
        """Note when the steps of a turn ended, in the order of `STEPS`."""
        if self._spans is not None:
            for job in jobs:
                if job.trace is not None:
                    job.trace.marks = marks

    def answered(self, job: Job, status: int, ended: int, size: int) -> None:
        """Note a request's answer."""
        lines = self._lines
        told = (
            lines is not None
            and job.route not in _QUIET
            and (self._ratio >= 1 or status >= 500 or random.random() < self._ratio)
        )
        if not told and job.trace is None:
            return
        arms = tuple(
            [(p.target.model.name, p.target.model.version, p.target.arm, len(p.units))
             for p in job.parts]
        )  # fmt: skip
        seen = Seen(
            job.id, job.who, job.route, arms, status, job.started, ended,
            max(0, job.admitted), size, job.trace,
        )  # fmt: skip
        if told and lines is not None:
            lines.append(seen)
        if job.trace is not None and self._spans is not None:
            self._spans.append(seen)

    def close(self) -> None:
        """Tell what was noted, and end."""
        if self._lines is not None:
            self._lines.close()
            self._log.close()
        if self._spans is not None:
            self._spans.close()
            self._exporter.close()

    # ------------------------------------------------------------ beside the loop

    def _dropped(self) -> dict[str, int]:
        rings = {"access_log": self._lines, "traces": self._spans}
        return {name: ring.dropped for name, ring in rings.items() if ring is not None}

    def _tell(self, group: Sequence[Seen]) -> None:
        self._log.write([self._entry(seen) for seen in group])

    def _entry(self, seen: Seen) -> Entry:
        return Entry(
            at=moment(seen.started + self._epoch),
            id=seen.id,
            route=seen.route,
            status=seen.status,
            ms=(seen.ended - seen.started) // 1000 / 1000,
            bytes_in=seen.bytes_in,
            bytes_out=seen.bytes_out,
            caller=seen.who,
            model=seen.arms[0][0] if seen.arms else "",
            versions=sorted({version for _, version, _, _ in seen.arms}),
            rows=sum(rows for _, _, _, rows in seen.arms),
            trace=f"{seen.trace.id:032x}" if seen.trace else "",
        )

    def _send(self, group: Sequence[Seen]) -> None:
        spans = [span for seen in group if seen.trace for span in self._spans_of(seen, seen.trace)]
        if not self._exporter.send(spans):
            raise ConnectionError("the collector of traces did not take them")

    def _spans_of(self, seen: Seen, trace: Trace) -> Iterator[Span]:
        epoch = self._epoch
        attributes: dict[str, str | int | bool] = {
            "http.response.status_code": seen.status, "onward.route": seen.route,
        }  # fmt: skip
        if seen.arms:
            model, version, arm, _ = seen.arms[0]
            attributes |= {
                "onward.model": model, "onward.version": version, "onward.arm": arm,
                "onward.rows": sum(rows for _, _, _, rows in seen.arms),
            }  # fmt: skip
        if seen.who:
            attributes["onward.caller"] = seen.who
        yield Span(
            name=seen.route, trace=trace.id, id=trace.span, parent=trace.parent,
            remote=trace.parent != 0, state=trace.state, server=True, failed=seen.status >= 500,
            begin_ns=seen.started + epoch, end_ns=seen.ended + epoch, attributes=attributes,
        )  # fmt: skip
        if not seen.arms:
            return
        begin = seen.started
        for name, end in zip(STEPS, trace.marks, strict=False):
            yield Span(
                name=name, trace=trace.id, id=random.getrandbits(64) or 1, parent=trace.span,
                begin_ns=begin + epoch, end_ns=end + epoch, attributes={},
            )  # fmt: skip
            begin = end
