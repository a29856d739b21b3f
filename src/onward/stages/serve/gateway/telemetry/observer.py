"""Watching requests go by: the loop's side of the access log and of traces."""

from __future__ import annotations

import itertools
import random
import string
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from onward.core.ports.spans import Span, SpanExporter
from onward.stages.serve.gateway.metrics.counters import Metrics
from onward.stages.serve.gateway.protocol.trace_context import trace_of
from onward.stages.serve.gateway.routing.job import Job
from onward.stages.serve.gateway.settings import GatewayConfig, TelemetryConfig
from onward.stages.serve.gateway.telemetry.access_log import AccessLog, Arms, Seen
from onward.stages.serve.gateway.telemetry.ring import Ring

REQUEST_ID: Final = b"x-request-id"
STEPS: Final = ("queue", "lookup", "predict", "log")
"""The steps of a request's turn: each ends at a mark, and the next begins there."""

_LONGEST_ID: Final = 128
_OF_IDS: Final = b"-_.:/+=" + (string.ascii_letters + string.digits).encode()
_QUIET: Final = frozenset({"health", "metrics", "routes"})
_SIZE: Final = 1 << 16


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
        self._lines: Ring[str] | None = None
        self._spans: Ring[Seen] | None = None
        if config.access_log:
            self._log = AccessLog(Path(config.access_log), epoch_ns=self._epoch)
            self._lines = Ring(self._log.write, name="access-log", size=_SIZE, every_s=0.2)
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
            if given and len(given) <= _LONGEST_ID and not given.translate(None, _OF_IDS):
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
        parts = job.parts
        arms: Arms
        if len(parts) == 1:
            [part] = parts
            arms = ((part.target, len(part.units)),)
        else:
            arms = tuple([(part.target, len(part.units)) for part in parts])
        seen = (
            job.id, job.who, job.route, arms, status, job.started, ended,
            max(0, job.admitted), size, job.trace,
        )  # fmt: skip
        if told and lines is not None:
            lines.append(self._log.line(seen))
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

    def _send(self, group: Sequence[Seen]) -> None:
        spans = [span for seen in group for span in self._spans_of(seen)]
        if not self._exporter.send(spans):
            raise ConnectionError("the collector of traces did not take them")

    def _spans_of(self, seen: Seen) -> Iterator[Span]:
        _, who, route, arms, status, started, ended, _, _, trace = seen
        if trace is None:  # pragma: no cover - only what is traced gets here
            return
        attributes: dict[str, str | int | bool] = {
            "http.response.status_code": status, "onward.route": route,
        }  # fmt: skip
        if arms:
            target = arms[0][0]
            attributes |= {
                "onward.model": target.model.name, "onward.version": target.model.version,
                "onward.arm": target.arm, "onward.rows": sum(rows for _, rows in arms),
            }  # fmt: skip
        if who:
            attributes["onward.caller"] = who
        epoch = self._epoch
        yield Span(
            name=route, trace=trace.id, id=trace.span, parent=trace.parent,
            remote=trace.parent != 0, state=trace.state, server=True, failed=status >= 500,
            begin_ns=started + epoch, end_ns=ended + epoch, attributes=attributes,
        )  # fmt: skip
        begin = started
        for name, end in zip(STEPS, trace.marks if arms else (), strict=False):
            yield Span(
                name=name, trace=trace.id, id=random.getrandbits(64) or 1, parent=trace.span,
                begin_ns=begin + epoch, end_ns=end + epoch, attributes={},
            )  # fmt: skip
            begin = end


def observer_of(config: GatewayConfig, metrics: Metrics) -> Observer | None:
    """Return the observer that a gateway's configuration asks for, None if it asks for none."""
    telemetry = config.telemetry
    if telemetry is None:
        return None
    exporter = None if telemetry.exporter is None else telemetry.exporter.make()
    return Observer(telemetry, metrics, exporter)
