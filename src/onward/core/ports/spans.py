"""Sending traces elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A part of a trace (https://opentelemetry.io/docs/specs/otel/trace/api/).

    Times are in nanoseconds since the epoch. `server` says whether it is a request's own span;
    `parent` is 0 for the first of a trace, and `remote` whether it is another process's; `state` is
    the W3C ``tracestate`` that came.
    """

    name: str
    trace: int
    id: int
    parent: int
    remote: bool = False
    state: str = ""
    server: bool = False
    begin_ns: int
    end_ns: int
    failed: bool = False
    attributes: Mapping[str, str | int | bool]


class SpanExporter(Protocol):
    """Sends spans; asked on a thread of its own, it may take its time."""

    def send(self, spans: Sequence[Span]) -> bool:
        """Send the spans, and return whether they arrived."""
        ...

    def close(self) -> None: ...
