"""What a gateway refuses at once, gives up in time, and does with clients that are slow."""

from __future__ import annotations

import gzip
import json
import socket
from contextlib import ExitStack
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import trained_models as small
from gateway_site import Site, routes_of, serving

from onward.core.errors import DataError
from onward.stages.serve.gateway.admission.admission import Admission
from onward.stages.serve.gateway.limits import Limits
from onward.stages.serve.gateway.metrics.counters import Metrics
from onward.stages.serve.gateway.routing.job import Job, Part
from onward.stages.serve.log.reader import read

MODEL = "/v2/models/returns"
ROWS = small.rows(4, seed=5)


def request(row: dict[str, Any], *headers: str) -> bytes:
    body = json.dumps({"rows": [row]}).encode()
    lines = [f"POST {MODEL}/predict HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def connect(site: Site) -> socket.socket:
    parts = urlsplit(site.server.url)
    return socket.create_connection((parts.hostname, parts.port), timeout=20)


def everything(sock: socket.socket) -> bytes:
    received = b""
    while chunk := sock.recv(65_536):
        received += chunk
    return received


def statuses(received: bytes) -> list[int]:
    return [int(part[:3]) for part in received.split(b"HTTP/1.1 ")[1:]]


def metric(site: Site, line: str) -> float:
    [found] = [t for t in site.client.get("/metrics").text.splitlines() if t.startswith(line)]
    return float(found.rpartition(" ")[2])


@pytest.fixture(scope="module")
def tight(tmp_path_factory, image):
    """A gateway that takes on little."""
    limits = Limits(waiting=2, rows=3, waiting_bytes=10_000)
    folder = tmp_path_factory.mktemp("tight")
    with serving(folder, routes_of((image("plain"), 100.0)), limits=limits) as opened:
        yield opened


def test_what_is_beyond_the_queue_is_told_to_come_back(tight):
    """Four requests in one segment wait together; the queue takes two of them."""
    with connect(tight) as sock:
        sock.sendall(b"".join(request(row) for row in ROWS))
        sock.shutdown(socket.SHUT_WR)
        received = everything(sock)
    assert statuses(received) == [200, 200, 429, 429]
    refused = received.split(b"HTTP/1.1 ")[3]
    assert b"\r\nRetry-After: 1\r\n" in refused
    assert json.loads(refused.partition(b"\r\n\r\n")[2])["error"].startswith("2 requests wait")
    assert tight.predict(ROWS[:1]).status_code == 200
    assert metric(tight, 'onward_requests_refused_total{reason="queue"}') == 2
    assert metric(tight, "onward_requests_waiting ") == 0
    assert metric(tight, "onward_requests_waiting_bytes ") == 0
    assert metric(tight, 'onward_requests_total{route="predict",status="429"}') == 2


def test_bodies_that_wait_are_bounded_too(tight):
    row = ROWS[0] | {"note": "x" * 12_000}
    assert tight.predict([row]).status_code == 429
    assert tight.client.get("/v2/health/ready").status_code == 200


@pytest.mark.parametrize("path", [f"{MODEL}/predict", f"{MODEL}/explain", "/invocations"])
def test_bodies_count_by_what_they_are_decompressed(tight, path):
    row = ROWS[0] | {"note": "x" * 12_000}
    body = {"dataframe_records": [row]} if path == "/invocations" else {"rows": [row]}
    packed = gzip.compress(json.dumps(body).encode())
    assert len(packed) < 1_000
    headers = {"content-encoding": "gzip", "content-type": "application/json"}
    answer = tight.client.post(path, content=packed, headers=headers)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
    assert "decompressed" in answer.text
    assert metric(tight, "onward_requests_waiting_bytes ") == 0
    fitting = gzip.compress(json.dumps({"rows": ROWS[:1]}).encode())
    answer = tight.client.post(f"{MODEL}/predict", content=fitting, headers=headers)
    assert answer.status_code == 200
    assert metric(tight, "onward_requests_waiting_bytes ") == 0


def test_a_request_of_too_many_rows_is_refused(tight):
    answer = tight.predict(ROWS)
    assert answer.status_code == 413
    assert answer.json() == {"error": "the request has 4 rows; at most 3 are taken"}
    assert tight.predict(ROWS[:3]).status_code == 200


def test_a_deadline_that_has_passed_is_answered_without_a_prediction(site):
    first, last = (
        site.client.post(
            f"{MODEL}/predict", json={"rows": ROWS[:1]}, headers={"onward-deadline-ms": ms}
        )
        for ms in ("0", "60000")
    )
    assert (first.status_code, last.status_code) == (504, 200)
    body = first.json()
    assert body["error"] == "the deadline of 0 ms passed before the request's turn"
    logged = {p.id: p for p in read(site.predictions)[0]}[body["predictions"][0]["id"]]
    assert (logged.status, logged.output) == (504, None)
    assert all(value is None for value in logged.features.values())
    tensors = {"inputs": [{"name": "x", "shape": [1, 5], "datatype": "FP64", "data": [1.0] * 5}]}
    headers = {"onward-deadline-ms": "0"}
    late = site.client.post(f"{MODEL}/infer", json=tensors, headers=headers)
    assert late.status_code == 504
    assert metric(site, 'onward_predictions_total{model="returns",version="1",arm="champion",s'
                  'tatus="504"}') >= 2  # fmt: skip


def test_a_late_caller_does_not_spoil_the_tick(site):
    """Late, in time, late: in one segment, so in one tick."""
    late = "onward-deadline-ms: 0"
    with connect(site) as sock:
        sock.sendall(request(ROWS[0], late) + request(ROWS[1]) + request(ROWS[2], late))
        sock.shutdown(socket.SHUT_WR)
        received = everything(sock)
    assert statuses(received) == [504, 200, 504]
    assert ROWS[1]["order_id"].encode() in received.split(b"HTTP/1.1 ")[2]


def test_a_default_deadline_holds_where_the_caller_names_none(tmp_path, image):
    limits = Limits(deadline_s=1e-6)
    with serving(tmp_path, routes_of((image("plain"), 100.0)), limits=limits) as site:
        assert site.predict(ROWS[:1]).status_code == 504
        own = {"onward-deadline-ms": "60000"}
        answer = site.client.post(f"{MODEL}/predict", json={"rows": ROWS[:1]}, headers=own)
        assert answer.status_code == 200


def job() -> Job:
    return Job(None, route="infer", keep_alive=True)  # type: ignore[arg-type]  # nobody waits


@pytest.mark.parametrize(
    ("name", "value", "ns"),
    [
        (b"onward-deadline-ms", b"250", 250_000_000),
        (b"grpc-timeout", b"2S", 2_000_000_000),
        (b"grpc-timeout", b"250m", 250_000_000),
        (b"grpc-timeout", b"99999999u", 99_999_999_000),
        (b"grpc-timeout", b"1H", 3_600_000_000_000),
    ],
)
def test_deadlines_in_both_protocols_words(name, value, ns):
    asked = job()
    assert Admission(Limits(), Metrics()).admit(asked, "m", {name: value}, 10)
    assert asked.deadline == asked.started + ns


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"onward-deadline-ms", b"soon"),
        (b"onward-deadline-ms", b"-1"),
        (b"onward-deadline-ms", b"9" * 12),
        (b"grpc-timeout", b"10"),
        (b"grpc-timeout", b"m"),
        (b"grpc-timeout", b"123456789m"),
    ],
)
def test_a_deadline_that_means_nothing_is_refused(name, value):
    metrics = Metrics()
    with pytest.raises(DataError, match=r"deadline|timeout"):
        Admission(Limits(), metrics).admit(job(), "m", {name: value}, 10)
    assert metrics.waiting == 0


def test_rows_are_counted_over_all_arms():
    asked = job()
    asked.parts = [Part(None, 0), Part(None, 0)]  # type: ignore[arg-type]  # no arm is asked
    for part in asked.parts:
        part.units = ["a", "b"]
    Admission(Limits(rows=3), Metrics()).measure(asked, "m")
    assert (asked.status, asked.parts) == (413, ())


def test_a_deployments_own_limits_come_with_its_routes(tmp_path, image):
    own = replace(routes_of((image("plain"), 100.0)), rows=2, deadline_s=1e-6)
    with serving(tmp_path, own, routes_of((image("sorter"), 100.0))) as site:
        assert site.predict(ROWS).status_code == 413
        assert site.predict(ROWS[:2]).status_code == 504
        assert site.predict(ROWS, "sorter").status_code == 200
        site.route((image("plain"), 100.0))
        assert site.predict(ROWS).status_code == 200


@pytest.fixture(scope="module")
def impatient(tmp_path_factory, image):
    """A gateway that waits for nobody, and takes few connections."""
    limits = Limits(receive_s=0.2, idle_s=0.6, connections=6)
    folder = tmp_path_factory.mktemp("impatient")
    with serving(folder, routes_of((image("plain"), 100.0)), limits=limits) as opened:
        yield opened


@pytest.mark.parametrize(
    "begun", [request(ROWS[0])[:-10], b"GET /v2 HTTP/1.1\r\nX-Slow: ", b"GET /v2"]
)
def test_a_request_that_does_not_arrive_is_given_up(impatient, begun):
    with connect(impatient) as sock:
        sock.sendall(begun)
        received = everything(sock)
    assert statuses(received) == [408]
    assert b"Connection: close" in received


def test_a_silent_connection_is_closed(impatient):
    with connect(impatient) as sock:
        sock.sendall(request(ROWS[0]))
        assert statuses(everything(sock)) == [200]  # and then the end
    with connect(impatient) as sock:
        assert everything(sock) == b""


def test_connections_are_bounded(impatient):
    with ExitStack() as held:
        for _ in range(6):
            held.enter_context(connect(impatient))
        with connect(impatient) as sock:
            received = everything(sock)
    assert statuses(received) == [503]
    assert b"6 connections are open already" in received
    impatient.until(lambda: httpx.get(f"{impatient.server.url}/v2").status_code == 200)
