"""Replicas on a Ray cluster, beside a gateway over the same routes, store and log."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
import msgspec
import pytest
import trained_models as small
import yaml
from gateway_site import Site, free_port, routes_of, serving

from onward.stages.deploy.adapters.ray_serve import RayServeTarget
from onward.stages.serve.log.reader import find, read_span
from workloads import workload

BIN = Path(sys.executable).parent
MODEL = "/v2/models/returns"


@dataclass
class Cluster:
    """A Ray cluster of one node on loopback."""

    process: subprocess.Popen[bytes]
    dashboard: str
    environment: Mapping[str, str]
    log: Path

    def deploy(self, file: Path) -> None:
        done = subprocess.run(
            [BIN / "serve", "deploy", "--address", self.dashboard, file],
            capture_output=True, text=True, check=False, timeout=120, env=self.environment,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr

    def starts(self) -> bool:
        return self._ask("GET", "/api/version").status_code == 200

    def end_serving(self) -> None:
        answer = self._ask("DELETE", "/api/serve/applications/")
        assert answer.status_code == 200, answer.text

    def _ask(self, method: str, path: str) -> httpx.Response:
        token = f"Bearer {self.environment['RAY_AUTH_TOKEN']}"
        headers = {"authorization": token}
        return httpx.request(method, f"{self.dashboard}{path}", headers=headers, timeout=60)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))  # sockets' paths must be short
    dashboard = free_port()
    environment = {
        **os.environ,
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_enable_metrics_collection": "0",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                BIN / "ray", "start", "--head", "--block", "--port", str(free_port()),
                "--num-cpus", "2", "--temp-dir", folder / "ray",
                "--dashboard-host", "127.0.0.1", "--dashboard-port", str(dashboard),
                "--disable-usage-stats", "--object-store-memory", str(100 << 20),
            ],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment,
        )  # fmt: skip
    made = Cluster(process, f"http://127.0.0.1:{dashboard}", environment, folder / "log")
    try:
        until(made.starts, made)
        yield made
    finally:
        process.terminate()  # the node's processes end with it
        process.wait(60)
        shutil.rmtree(folder, ignore_errors=True)


def until(holds, cluster: Cluster, timeout_s: float = 120.0) -> None:
    deadline = time.monotonic() + timeout_s
    while True:
        assert cluster.process.poll() is None, cluster.log.read_text()
        try:
            if holds():
                return
        except httpx.TransportError:
            pass
        assert time.monotonic() < deadline, cluster.log.read_text()
        time.sleep(0.1)


@pytest.fixture(scope="module")
def both(
    cluster: Cluster, tmp_path_factory: pytest.TempPathFactory, image
) -> Iterator[tuple[Site, httpx.Client]]:
    """A gateway, and the same served by a replica on the cluster."""
    folder = tmp_path_factory.mktemp("ray")
    opened = serving(folder, routes_of((image("plain"), 60.0), (image("better"), 40.0)))
    with opened as site:
        config = msgspec.to_builtins(opened.config)
        described = workload(replicas=1, cpu="500m", config=config)
        [text] = RayServeTarget().render(described).values()
        found = yaml.safe_load(text)
        found["http_options"]["port"] = port = free_port()
        (folder / "serve.yaml").write_text(yaml.safe_dump(found))
        cluster.deploy(folder / "serve.yaml")
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            until(lambda: client.get(f"{MODEL}/ready").status_code == 200, cluster)
            yield site, client
        cluster.end_serving()


def same(answer: httpx.Response) -> tuple:
    """Return what two gateways answer alike: all but a prediction's id."""
    body = answer.json()
    for entry in body.get("predictions", ()):
        entry.pop("id", None)
    body.get("parameters", {}).pop("prediction_ids", None)
    kind = answer.headers["content-type"]
    return answer.status_code, kind, answer.headers.get("allow"), body


def test_replicas_answer_as_the_gateway_does(both) -> None:
    site, client = both
    features = {"name": "x", "shape": [1, 5], "datatype": "FP64", "data": [0, 0, 9, 0, 0]}
    for method, path, body in [
        ("POST", f"{MODEL}/predict", {"rows": small.rows(40, seed=5)}),
        ("POST", f"{MODEL}/predict", {"rows": [{**small.rows(1)[0], "store": "unknown"}]}),
        ("POST", f"{MODEL}/predict", {"rows": [{"amount": "much"}]}),
        ("POST", f"{MODEL}/infer", {"id": "ada", "inputs": [features]}),
        ("POST", f"{MODEL}/infer", {"id": "ada", "inputs": []}),
        ("POST", f"{MODEL}/versions/2/infer", {"inputs": [features]}),
        ("GET", MODEL, None),
        ("GET", "/v2", None),
        ("GET", f"{MODEL}x", None),
        ("GET", f"{MODEL}/predict", None),
    ]:
        asked = [each.request(method, path, json=body) for each in (site.client, client)]
        assert same(asked[0]) == same(asked[1]), path


def test_predictions_and_feedback_are_in_the_one_log(both) -> None:
    site, client = both
    rows = small.rows(6, seed=9)
    answered = client.post(f"{MODEL}/predict", json={"rows": rows}).json()["predictions"]
    for entry in answered:
        logged = find(site.predictions, entry["id"])
        assert (logged.unit, logged.arm) == (entry["unit"], entry["arm"])
    feedback = [{"prediction": answered[0]["id"], "value": 1.0}]
    told = client.post(f"{MODEL}/feedback", json={"feedback": feedback})
    assert told.status_code == 200, told.text
    assert read_span(site.predictions).feedback[-1].feedback.prediction == [answered[0]["id"]]


def test_replicas_follow_the_routes(both, cluster, image) -> None:
    site, client = both
    site.route((image("better"), 100.0))
    version = site.routes()["returns"]["version"]
    until(lambda: client.get("/routes").json()["returns"]["version"] == version, cluster)
    rows = small.rows(20, seed=5)
    answered = client.post(f"{MODEL}/predict", json={"rows": rows}).json()["predictions"]
    assert {entry["version"] for entry in answered} == {2}
