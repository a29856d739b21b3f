"""Gateways of ours, each with what production may switch on; all serve the logistic regression."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from bench._serving import free_port
from bench.gateway import routed
from onward.stages.serve.gateway.process.local import start_gateway
from onward.stages.serve.gateway.settings import Factory, GatewayConfig, TelemetryConfig


@contextmanager
def everything_on(place: Path, workers: int = 1) -> Iterator[tuple[tuple[int, int], int]]:
    """Run what production does: a canary, the log, metrics, 1 % of traces.

    Gives its ports, HTTP's and gRPC's, and its process.
    """
    with collector() as endpoint:
        config = routed(
            place, f"everything-{workers}", workers=workers, predictions=str(place / "predictions"),
            telemetry=traced(endpoint), grpc_port=free_port(),
        )  # fmt: skip
        with running(config) as (url, pid):
            yield (urlsplit(url).port or 0, config.grpc_port), pid


@contextmanager
def running(config: GatewayConfig) -> Iterator[tuple[str, int]]:
    """Run a gateway; give the URL of its model, and its process."""
    server = start_gateway(config)
    try:
        yield f"{server.url}/v2/models/m/infer", server.pid
    finally:
        server.stop()


def traced(endpoint: str, ratio: float = 0.01) -> TelemetryConfig:
    """Return telemetry that sends a share of traces to a collector."""
    exporter = Factory(
        "onward.infra.telemetry.otlp:open_exporter", {"endpoint": endpoint, "service": "bench"}
    )
    return TelemetryConfig(exporter=exporter, trace_ratio=ratio)


class _Takes(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Keep silent."""


@contextmanager
def collector() -> Iterator[str]:
    """Take traces and forget them; give where to send them."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Takes)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1/traces"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
