"""No room for the log: refused or served, as declared, and by itself again once there is room."""

from __future__ import annotations

import errno
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Protocol

import pytest
import trained_models as small
from gateway_site import Site, routes_of, serving

from onward.app.gateway.serving import alerts
from onward.core.records import Logging
from onward.stages.serve.log.reader import read


class Disk(Protocol):
    """The log's disk."""

    def fill(self, site: Site) -> None: ...

    def empty(self, site: Site) -> None: ...


class Limited:
    """No file of the gateway's may grow: needs no rights, and fails as a full disk does."""

    def __init__(self, folder: Path) -> None:
        pass

    def fill(self, site: Site) -> None:
        resource.prlimit(site.server.pid, resource.RLIMIT_FSIZE, (4, resource.RLIM_INFINITY))

    def empty(self, site: Site) -> None:
        resource.prlimit(site.server.pid, resource.RLIMIT_FSIZE, (1 << 30, resource.RLIM_INFINITY))


class Tmpfs:
    """A file system of one MB, filled to the last byte: mounting one needs root."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            pytest.skip(
                f"no tmpfs can be mounted here ({done.stderr.strip()}): `limited` stands in"
            )

    def fill(self, site: Site) -> None:
        with (self.folder / "filler").open("wb", buffering=0) as file:
            while _wrote(file):
                pass
        for _ in range(5):  # a file's last page is its own, whoever fills the rest
            if not all("id" in e for e in site.predict(ROWS).json().get("predictions", [{}])):
                return

    def empty(self, site: Site) -> None:
        (self.folder / "filler").unlink()


def _wrote(file: IO[bytes]) -> bool:
    try:
        file.write(b"x" * 4096)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        return False
    return True


ROWS = small.rows(50)
COLUMNS = [c.name for c in small.PLAN.columns]


@pytest.fixture(params=[Limited, Tmpfs], ids=["limited", "tmpfs"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Disk]:
    folder = tmp_path / "predictions"
    yield request.param(folder)
    if folder.is_mount():
        subprocess.run(["umount", str(folder)], check=True)


def value(site: Site, name: str) -> float:
    lines = site.client.get("/metrics").text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(name))


@pytest.mark.parametrize("guarantee", ["fast", "strict"])
def test_refused_while_the_disk_is_full_and_served_again_after(tmp_path, image, disk, guarantee):
    logging: Any = Logging(guarantee=guarantee, on_failure="refuse")
    with serving(tmp_path, routes_of((image("plain"), 100.0)), logging=logging) as site:
        first = site.predict(ROWS)
        disk.fill(site)
        full = [site.predict(ROWS) for _ in range(3)]
        failing = value(site, "onward_prediction_log_failing")
        failures = value(site, "onward_prediction_log_failures_total")
        health = site.client.get("/v2/health/live").status_code
        alert = alerts(site.server.url, site.folder)
        disk.empty(site)
        again = site.predict(ROWS)
        recovered = value(site, "onward_prediction_log_failing")
        assert alerts(site.server.url, site.folder) == {}
        answered = [e["id"] for a in (first, again) for e in a.json()["predictions"]]
    assert [a.status_code for a in full] == [503] * 3
    assert all("the disk of the prediction log is full" in a.json()["error"] for a in full)
    assert {a.headers["retry-after"] for a in full} == {"1"}
    assert (failing, recovered) == (1, 0)
    words = "its last write or flush failed, rows are refused: is the disk full?"
    assert alert == {"prediction log": words}
    assert failures >= 3
    assert health == first.status_code == again.status_code == 200
    logged = [p.id for p in read(site.predictions)[0]]
    assert [*logged[:50], *logged[-50:]] == answered


def test_served_unlogged_while_the_disk_is_full_and_logged_again_after(tmp_path, image, disk):
    logging = Logging(on_failure="serve")
    with serving(tmp_path, routes_of((image("plain"), 100.0)), logging=logging) as site:
        first = site.predict(ROWS)
        disk.fill(site)
        full = site.predict(ROWS)
        tensors = {"inputs": [
            {"name": c, "shape": [1], "datatype": "FP64", "data": [1.0]} for c in COLUMNS
        ]}  # fmt: skip
        infer = site.client.post("/v2/models/returns/infer", json=tensors)
        unlogged = value(site, "onward_predictions_unlogged_total")
        alert = alerts(site.server.url, site.folder)["prediction log"]
        assert f"{unlogged:.0f} rows answered unlogged" in alert
        disk.empty(site)
        again = site.predict(ROWS)
        answered = [e["id"] for a in (first, again) for e in a.json()["predictions"]]
    assert {a.status_code for a in (first, full, infer, again)} == {200}
    entries = full.json()["predictions"]
    assert all(e["logged"] is False and "id" not in e and "output" in e for e in entries)
    parameters = infer.json()["parameters"]
    assert parameters["logged"] is False
    assert "prediction_ids" not in parameters
    assert unlogged >= 51
    logged = [p.id for p in read(site.predictions)[0]]
    assert [*logged[:50], *logged[-50:]] == answered
