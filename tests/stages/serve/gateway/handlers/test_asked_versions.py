"""Versions beside the routes: loaded when asked for, let go for room, within a stated limit."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import grpc
import httpx
import numpy as np
import pytest
import trained_models as small
from gateway_site import Site, free_port, routes_of, serving
from rpc_calls import matrix
from sklearn.linear_model import LogisticRegression

from onward.app.gateway.serving import alerts
from onward.core.records import ImageRef, Routes
from onward.stages.deploy.step import package
from onward.stages.serve.gateway.limits import Limits
from onward.stages.serve.gateway.rpc.proto import messages as pb
from onward.stages.serve.log.reader import read

MODEL = "/v2/models/returns"
MB = 1_000_000


@pytest.fixture
def version(tmp_path: Path) -> Callable[..., ImageRef]:
    """Make a version of ``returns``."""

    def make(number: int, estimator: Any) -> ImageRef:
        trained = small.train(tmp_path / f"trained-{number}", estimator, version=number)
        return package(trained, folder=tmp_path / f"images-{number}")

    return make


def beside(champion: ImageRef, *kept: ImageRef) -> Routes:
    return replace(routes_of((champion, 100.0)), kept=kept)


def ask(site: Site, number: int, **headers: str) -> httpx.Response:
    path = f"{MODEL}/versions/{number}/predict"
    return site.client.post(path, json={"rows": small.rows(1)}, headers=headers)


def ready(site: Site, number: int) -> bool:
    answer = site.client.get(f"{MODEL}/versions/{number}/ready")
    assert answer.status_code == (200 if answer.json()["ready"] else 503)
    return bool(answer.json()["ready"])


def metric(site: Site, name: str) -> float:
    lines = site.client.get("/metrics").text.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


def resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


def test_versions_come_when_asked_for_and_the_one_unasked_the_longest_goes(tmp_path, version):
    heavy = [version(n, small.Heavy(n, megabytes=32)) for n in (2, 3, 4)]
    routes = beside(version(1, small.Linear(1.0)), *heavy)
    with serving(tmp_path, routes, limits=Limits(model_bytes=84 * MB)) as site:
        before = resident(site.server.pid)
        assert site.client.get(MODEL).json()["versions"] == ["1", "2", "3", "4"]
        assert not ready(site, 2)
        assert metric(site, "onward_models_loaded") == 1
        for number in (2, 3):
            [entry] = ask(site, number).json()["predictions"]
            assert (entry["version"], entry["arm"]) == (number, "direct")
            assert ready(site, number)
        assert metric(site, "onward_model_evictions_total") == 0
        assert 30 * MB < metric(site, 'onward_model_bytes{model="returns",version="2"}') < 42 * MB
        ask(site, 2)
        ask(site, 4)  # room for one: version 3 was not asked for the longest
        site.until(lambda: [ready(site, n) for n in (2, 3, 4)] == [True, False, True])
        assert metric(site, "onward_model_evictions_total") == 1
        for _ in range(2):
            for number in (2, 3, 4):
                assert ask(site, number).status_code == 200
        assert metric(site, "onward_model_bytes{") < 84 * MB
        site.until(lambda: resident(site.server.pid) < before + 100 * MB)
        assert metric(site, "onward_model_load_seconds_count") >= 6
        assert site.client.get(f"{MODEL}/versions/9").status_code == 404
        assert metric(site, "onward_models_over_limit") == 0
    logged = {p.version: p for p in read(tmp_path / "predictions")[0]}
    assert {p.arm for p in logged.values()} == {"direct"}
    assert logged[3].release == "release:returns@3"


def test_no_request_is_lost_while_versions_make_room_for_each_other(tmp_path, version):
    kept = [version(n, small.Heavy(n, megabytes=8)) for n in (2, 3, 4)]
    routes = beside(version(1, small.Linear(1.0)), *kept)
    answers: list[tuple[int, int, dict[str, Any]]] = []

    def call(seed: int) -> None:
        with httpx.Client(base_url=site.server.url, timeout=60) as client:
            for turn, number in enumerate(np.random.default_rng(seed).integers(1, 5, 10).tolist()):
                rows = [small.rows(1, seed=1_000 * seed + turn)[0]]
                path = f"{MODEL}/versions/{number}/predict"
                answer = client.post(path, json={"rows": rows})
                [entry] = answer.json()["predictions"]
                answers.append((answer.status_code, number, entry))

    with serving(tmp_path, routes, limits=Limits(model_bytes=14 * MB)) as site:
        callers = [threading.Thread(target=call, args=(seed,)) for seed in range(6)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
        assert metric(site, "onward_model_evictions_total") > 0
    assert len(answers) == 60
    assert {status for status, _, _ in answers} == {200}
    assert all(entry["version"] == number for _, number, entry in answers)
    logged = {p.id: p for p in read(tmp_path / "predictions")[0]}
    assert all(logged[entry["id"]].unit == entry["unit"] for _, _, entry in answers)


def test_a_request_waits_for_its_version_no_longer_than_its_deadline(tmp_path, version):
    gate = tmp_path / "gate"
    slow = version(2, small.Heavy(2.0, gate=str(gate)))
    routes = beside(version(1, small.Linear(1.0)), slow)
    with serving(tmp_path, routes) as site:
        late = ask(site, 2, **{"onward-deadline-ms": "60"})
        assert late.status_code == 504
        assert "60 ms" in late.json()["error"]
        assert site.predict(small.rows(1)).status_code == 200  # others do not wait
        found: list[int] = []
        patient = threading.Thread(target=lambda: found.append(ask(site, 2).status_code))
        patient.start()
        gate.touch()
        patient.join()
        assert found == [200]
        assert ask(site, 2, **{"onward-deadline-ms": "20000"}).status_code == 200
        assert metric(site, "onward_model_load_seconds_count") == 2  # one load for all who waited


def test_answers_keep_their_order_on_a_connection(tmp_path, version):
    kept = version(2, LogisticRegression())
    with serving(tmp_path, beside(version(1, small.Linear(1.0)), kept)) as site:
        parts = urlsplit(site.server.url)
        body = json.dumps({"rows": [{**small.rows(1)[0], "store": "s1"}]}).encode()
        head = b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        head += b"Content-Length: %d\r\n\r\n" % len(body)
        paths = (
            f"{MODEL}/versions/2/explain",
            f"{MODEL}/versions/1/predict",
            f"{MODEL}/versions/2/predict",
        )
        with socket.create_connection((parts.hostname, parts.port)) as raw:
            raw.sendall(b"".join(head % path.encode() + body for path in paths))
            raw.shutdown(socket.SHUT_WR)
            answers = raw.makefile("rb").read().split(b"HTTP/1.1 ")[1:]
    assert [answer[:3] for answer in answers] == [b"200"] * 3
    found = [json.loads(answer.partition(b"\r\n\r\n")[2]) for answer in answers]
    assert "explanations" in found[0]
    assert [each["predictions"][0]["version"] for each in found[1:]] == [1, 2]


def test_what_cannot_be_loaded_or_has_no_room_is_said(tmp_path, version):
    lost = replace(version(2, small.Linear(2.0)), layout=str(tmp_path / "nowhere"))
    large = version(3, small.Heavy(3.0, megabytes=32))
    routes = beside(version(1, small.Linear(1.0)), lost, large)
    with serving(tmp_path, routes, limits=Limits(model_bytes=16 * MB)) as site:
        for _ in range(2):
            answer = ask(site, 2)
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
            assert "is no OCI image layout" in answer.json()["error"]
        assert ask(site, 3).status_code == 200  # its file told nothing of what it takes
        site.until(lambda: not ready(site, 3))
        refused = ask(site, 3)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
        assert "room for 1" in refused.json()["error"]
        assert metric(site, "onward_model_load_seconds_count") == 2
        assert site.predict(small.rows(1)).status_code == 200


def test_routes_that_alone_need_more_are_served_and_it_is_said(tmp_path, version):
    heavy, other = version(1, small.Heavy(1.0, megabytes=24)), version(2, small.Linear(2.0))
    with serving(tmp_path, beside(heavy, other), limits=Limits(model_bytes=8 * MB)) as site:
        assert site.predict(small.rows(1)).status_code == 200
        assert metric(site, "onward_models_over_limit") == 1
        assert ask(site, 2).status_code == 503
        said = (tmp_path / "state/gateway.log").read_text()
        assert "more than limits.model_bytes (8.0 MB): they are served all the same" in said
        alert = alerts(site.server.url, tmp_path)["gateway memory"]
        assert alert.endswith("of 8.0 MB: no other is loaded; raise limits.model_bytes")
        site.route((other, 100.0))
        site.until(lambda: metric(site, "onward_models_over_limit") == 0)
        assert metric(site, "onward_model_bytes{") < 8 * MB


def test_a_version_that_leaves_the_routes_is_let_go_and_comes_back_when_asked_for(
    tmp_path, version
):
    first, second = version(1, small.Linear(1.0)), version(2, small.Linear(2.0))
    with serving(tmp_path, routes_of((first, 100.0))) as site:
        site.serve(beside(second, first))
        assert not ready(site, 1)
        assert ask(site, 1).status_code == 200
        assert ready(site, 1)
        site.serve(beside(first, second))  # what was asked for is now routed, and loaded already
        assert site.predict(small.rows(1)).json()["predictions"][0]["version"] == 1
        assert metric(site, "onward_model_load_seconds_count") == 3


def test_over_grpc_too(tmp_path, version):
    port = free_port()
    routes = beside(version(1, small.Linear(1.0)), version(2, small.Linear(2.0)))
    service = "/inference.GRPCInferenceService/"
    with (
        serving(tmp_path, routes, grpc_port=port),
        grpc.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):

        def call(method: str, message: Any, answer: Any) -> Any:
            send = channel.unary_unary(
                service + method,
                request_serializer=lambda m: m.SerializeToString(),
                response_deserializer=answer.FromString,
            )
            return send(message, timeout=20)

        asked = pb.ModelReadyRequest(name="returns", version="2")
        assert not call("ModelReady", asked, pb.ModelReadyResponse).ready
        answer = call("ModelInfer", matrix(model_version="2"), pb.ModelInferResponse)
        assert answer.model_version == "2"
        assert call("ModelReady", asked, pb.ModelReadyResponse).ready
