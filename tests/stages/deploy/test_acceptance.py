"""Acceptance: what a staged image must show, and what is said when it does not."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trained_models as small

from onward.stages.deploy.acceptance import _apart
from onward.stages.deploy.config import latency
from onward.stages.deploy.step import accept, package
from onward.stages.serve.gateway.process.local import LocalServers


@pytest.mark.parametrize(
    ("estimator", "options"),
    [
        (small.Linear(1.0), {}),
        (small.Named(1.0), {"plan": small.TEXT_PLAN}),
        (small.Sorter(), {"task": "multiclass"}),
        (small.Pricer(), {"task": "regression"}),
    ],
)
def test_a_sound_image_passes_every_check(tmp_path, estimator, options):
    model = small.train(tmp_path / "trained", estimator, **options)
    image = package(model, folder=tmp_path / "images")
    gates = (latency(p99_ms=1_000, requests=50), latency(p99_ms=0.0001, requests=50))
    deployment = accept(
        image, servers=LocalServers(), acceptance=gates, folder=tmp_path / "staging"
    )
    assert {c.gate: c.passed for c in deployment.checks} == {
        "schema": True,
        "golden predictions": True,
        "request rows": True,
        "malformed input": True,
        "latency: p99 ≤ 1000 ms": True,
        "latency: p99 ≤ 0.0001 ms": False,
    }
    assert not deployment.passed
    reasons = {c.gate: c.reason for c in deployment.checks}
    assert reasons["golden predictions"].startswith("32 rows agree with training within 1e-09")
    assert "as in training" in reasons["request rows"]
    assert "over 50 single rows" in reasons["latency: p99 ≤ 1000 ms"]


class Fake:
    """Starts a server that answers by `respond(method, path, body)`, and remembers its end."""

    def __init__(self, respond: Callable[[str, str, Any], tuple[int, Any]]) -> None:
        self.respond = respond
        self.stopped = False

    def start_staging(self, image: Any, folder: Path) -> Fake:
        respond = self.respond

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._answer(*respond("GET", self.path, None))

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                try:
                    asked = json.loads(body)
                except ValueError:
                    asked = None
                self._answer(*respond("POST", self.path, asked))

            def _answer(self, status: int, found: Any) -> None:
                data = json.dumps(found).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()
        return self

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()
        self.stopped = True


@contextmanager
def real(image: Any, folder: Path) -> Iterator[Callable[[str, str, Any], tuple[int, Any]]]:
    """Answer as the real gateway does, for a fake that changes only one thing."""
    import httpx

    server = LocalServers().start_staging(image, folder)
    try:
        with httpx.Client(base_url=server.url) as client:

            def respond(method: str, path: str, body: Any) -> tuple[int, Any]:
                content = None if method == "GET" else json.dumps(body).encode()
                answer = client.request(method, path, content=content)
                return answer.status_code, answer.json()

            yield respond
    finally:
        server.stop()


def other_input(found: Any) -> None:
    if "inputs" in found:
        found["inputs"][0]["name"] = "stranger"


def other_version(found: Any) -> None:
    if "versions" in found:
        found["versions"] = ["7"]


def other_figure(found: Any) -> None:
    if "model_name" in found:
        found["outputs"][0]["data"][5] += 1e-6


def other_features(found: Any) -> None:
    for entry in found.get("predictions", ()):
        entry["output"] += 1e-6


def no_figure(found: Any) -> None:
    if "model_name" in found:
        found["outputs"][0]["data"][5] = None


def other_output(found: Any) -> None:
    if "model_name" in found:
        found["outputs"][0]["name"] = "stranger"


def test_an_answer_that_is_no_number_is_not_the_golden_one():
    assert _apart([0.5, math.nan, 0.5], [0.5, 0.5, 0.5]) == math.inf
    assert _apart([0.5, 0.25], [0.5, 0.5]) == 0.25


def test_what_is_wrong_is_said_check_by_check(model, tmp_path):
    image = package(model, folder=tmp_path / "images")
    cases = [
        (other_input, "schema", "the inputs are not the plan's 5 features: ['stores__rate']"),
        (other_version, "schema", "versions ['7']"),
        (other_figure, "golden predictions", "do not agree with training"),
        (no_figure, "golden predictions", "staging did not answer: TypeError"),
        (other_output, "golden predictions", "staging did not answer: ValueError"),
        (other_features, "request rows", "differ from training's"),
    ]
    with real(image, tmp_path / "staging") as respond:
        for change, gate, reason in cases:

            def changed(method, path, body, change=change):
                status, found = respond(method, path, body)
                change(found)
                return status, found

            fake = Fake(changed)
            deployment = accept(image, servers=fake, acceptance=(), folder=tmp_path)
            failed = {c.gate: c.reason for c in deployment.checks if not c.passed}
            assert list(failed) == [gate]
            assert reason in failed[gate]
            assert fake.stopped


def test_a_server_that_refuses_nothing_or_fails_does_not_pass(model, tmp_path):
    image = package(model, folder=tmp_path / "images")
    for answer in ((200, {}), (500, {"error": "no", "inputs": []})):
        fake = Fake(lambda method, path, body, answer=answer: answer)
        deployment = accept(
            image, servers=fake, acceptance=(latency(p99_ms=5, requests=5),), folder=tmp_path
        )
        failed = {c.gate for c in deployment.checks if not c.passed}
        assert {"schema", "golden predictions", "malformed input"} <= failed
        assert not deployment.passed
        assert fake.stopped


def test_the_server_is_stopped_even_when_a_check_breaks(model, tmp_path):
    image = package(model, folder=tmp_path / "images")
    fake = Fake(lambda method, path, body: (200, {}))
    (Path(model.path) / "golden.json").unlink()
    with pytest.raises(FileNotFoundError):
        accept(image, servers=fake, acceptance=(), folder=tmp_path)
    assert fake.stopped
