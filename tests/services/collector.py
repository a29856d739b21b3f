"""A collector of OpenTelemetry traces: a real server that takes OTLP over HTTP, in protobuf."""

from __future__ import annotations

import contextlib
import gzip
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)


class Collector:
    """What came; `status` is what it answers."""

    def __init__(self) -> None:
        self.status = 200
        self.spans: list[Any] = []
        self.resources: list[dict[str, str]] = []
        self._came = threading.Condition()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                assert self.headers["Content-Type"] == "application/x-protobuf"
                assert self.path == "/v1/traces"
                collector._take(ExportTraceServiceRequest.FromString(body))
                answer = ExportTraceServiceResponse().SerializeToString()
                self.send_response(collector.status)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1/traces"

    def _take(self, request: Any) -> None:
        with self._came:
            for resource in request.resource_spans:
                found = {a.key: a.value.string_value for a in resource.resource.attributes}
                self.resources.append(found)
                for scope in resource.scope_spans:
                    self.spans.extend(scope.spans)
            self._came.notify_all()

    def until(self, holds: Callable[[list[Any]], bool]) -> list[Any]:
        """Wait until what came is enough, and return it."""
        with self._came:
            assert self._came.wait_for(lambda: holds(self.spans), 30), self.spans
            return list(self.spans)


@contextlib.contextmanager
def running_collector() -> Iterator[Collector]:
    """Run a collector of the block's own."""
    collector = Collector()
    thread = threading.Thread(target=collector.server.serve_forever)
    thread.start()
    try:
        yield collector
    finally:
        collector.server.shutdown()
        collector.server.server_close()
        thread.join()
