"""Traces over OTLP/HTTP (protobuf), by OpenTelemetry's exporter."""

from __future__ import annotations

from collections.abc import Sequence

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from onward.core.ports.spans import Span
from onward.core.version import VERSION

_SCOPE = InstrumentationScope("onward", VERSION)
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)


class OtlpExporter:
    """Sends spans to a collector, retrying for some seconds."""

    def __init__(self, endpoint: str, *, service: str, timeout_s: float) -> None:
        self._exporter = OTLPSpanExporter(endpoint=endpoint, timeout=timeout_s)
        self._resource = Resource.create({"service.name": service, "service.version": VERSION})

    def send(self, spans: Sequence[Span]) -> bool:
        found = self._exporter.export([self._readable(span) for span in spans])
        return found is SpanExportResult.SUCCESS

    def close(self) -> None:
        self._exporter.shutdown()  # type: ignore[no-untyped-call]  # it has no types

    def _readable(self, span: Span) -> ReadableSpan:
        state = TraceState.from_header([span.state]) if span.state else None
        parent = None
        if span.parent:
            parent = SpanContext(span.trace, span.parent, span.remote, _SAMPLED, state)
        return ReadableSpan(
            name=span.name,
            context=SpanContext(span.trace, span.id, False, _SAMPLED, state),
            parent=parent,
            resource=self._resource,
            attributes=span.attributes,
            kind=SpanKind.SERVER if span.server else SpanKind.INTERNAL,
            status=Status(StatusCode.ERROR) if span.failed else Status(),
            start_time=span.begin_ns,
            end_time=span.end_ns,
            instrumentation_scope=_SCOPE,
        )


def open_exporter(*, endpoint: str, service: str, timeout_s: float = 5.0) -> OtlpExporter:
    """Open an exporter to a collector's address, such as ``http://127.0.0.1:4318/v1/traces``."""
    return OtlpExporter(endpoint, service=service, timeout_s=timeout_s)
