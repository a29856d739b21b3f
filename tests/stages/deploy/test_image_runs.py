"""The image runs: Debian's Python, the copied environment, the gateway, the golden predictions."""

from __future__ import annotations

import json
import os
import platform
import shutil
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import httpx
import msgspec
import pytest
import trained_models as small
import yaml

import small_images as tiny
from onward import Kubernetes
from onward.app.deployment import write
from onward.core.records import Route, Routes
from onward.stages.deploy.acceptance import Staged, checks
from onward.stages.deploy.adapters.compose import ComposeTarget
from onward.stages.deploy.adapters.installed import Installed
from onward.stages.deploy.image.build import build
from onward.stages.deploy.image.model import gateway_config
from onward.stages.deploy.oci.layout import Layout
from onward.stages.deploy.oci.referrers import content, referrers
from onward.stages.deploy.port import Made
from onward.stages.deploy.workload import Arm, Workload, gateway_in_a_cluster
from services.containers import PYTHON as NAME
from services.containers import rooted, run_in, running, serving_in, unpacked
from services.redis_server import free_port

VERSIONS = {name: metadata.version(name) for name in ("cloudpickle", "numpy", "pandas")}
PYTHON = f"/usr/bin/{NAME}"
ROUTES = "routes/returns.json"


def soon(holds: Callable[[], bool], said: Path) -> None:
    """Wait until it holds; what a container has not answered yet does not."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            if holds():
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    pytest.fail(f"the container does not do it: {said.read_text()}")


def ready(url: str, said: Path) -> None:
    soon(lambda: httpx.get(f"{url}/v2/health/ready").status_code == 200, said)


def test_a_canary_of_two_images_runs_as_compose_describes_it(debian_root, tmp_path):
    """Each version's service brings its model out of its own image; one gateway serves both.

    Namespaces are not needed: roots are changed into, and the volume is a folder that is moved.
    """
    if os.geteuid() != 0:
        pytest.skip("only root may change a process's root")
    arms, bundles = [], {}
    plan = replace(small.PLAN, views=(), columns=small.PLAN.columns[2:])
    for version, (arm, percent) in enumerate((("champion", 80.0), ("candidate", 20.0)), start=1):
        trained = tmp_path / f"trained-{version}"
        model = small.train(trained, small.Pricer(), version=version, task="regression", plan=plan)
        built = build(
            tiny.recorded(model, platform.python_version(), **VERSIONS),
            Made(trained=None, run=None),
            bench=tiny.workbench(debian_root, Installed()),
            folder=tmp_path / "images",
        )
        route = Route(arm=arm, image=built, percent=percent, release=f"release:returns@2.{version}")
        arms.append(Arm(route=route, image=f"registry.example/{version}", python=PYTHON))
        bundle = unpacked(tmp_path / "images", f"returns:{version}", tmp_path / f"v{version}")
        rooted(bundle)
        bundles[f"version-{version}"] = bundle
    port = free_port()
    config = gateway_in_a_cluster(gateway_config(msgspec.to_builtins({"plan": plan})))
    wanted = Workload(
        traffic=Routes(model="returns", salt="s", routes=tuple(arm.route for arm in arms)),
        arms=tuple(arms),
        wants=Kubernetes(),
        config={**config, "host": "127.0.0.1", "port": port},
    )
    files = ComposeTarget().render(wanted)
    services = yaml.safe_load(files["compose.yaml"])["services"]
    gateway = bundles["version-2"]
    assert services["gateway"]["image"] == arms[1].image
    for name in services["gateway"]["depends_on"]:
        run_in(bundles[name], services[name]["entrypoint"])
        if bundles[name] is not gateway:  # the volume is one, by whomever it is mounted
            brought = bundles[name] / "rootfs" / "models"
            shutil.copytree(brought, gateway / "rootfs" / "models", dirs_exist_ok=True)
    mounted = gateway / "rootfs" / "etc" / "onward"
    write(files, mounted / "compose")  # the folder that `./routes` and `./gateway.json` are in
    for name in ("gateway.json", "routes"):
        place = mounted / name
        shutil.rmtree(place) if place.is_dir() else place.unlink()
        place.symlink_to(f"compose/{name}")
    rows, url = small.rows(300, seed=5), f"http://127.0.0.1:{port}"

    def asked() -> dict[str, int]:
        answer = httpx.post(f"{url}/v2/models/returns/predict", json={"rows": rows})
        found = answer.json()["predictions"]
        return {row["order_id"]: e["version"] for row, e in zip(rows, found, strict=True)}

    with serving_in(gateway, tmp_path / "said") as process:
        ready(url, tmp_path / "said")
        before = asked()
        grown = [replace(a, route=replace(a.route, percent=50.0)) for a in arms]
        after_step = ComposeTarget().render(replace(wanted, arms=tuple(grown)))
        assert [name for name in files if files[name] != after_step[name]] == [ROUTES]
        write(after_step, mounted / "compose")
        soon(lambda: Counter(asked().values())[2] > 1.5 * Counter(before.values())[2],
             tmp_path / "said")  # fmt: skip
        after = asked()
        assert process.poll() is None
    assert 30 < Counter(before.values())[2] < 95
    assert 110 < Counter(after.values())[2] < 190
    moves = {(before[unit], after[unit]) for unit in before}
    assert moves == {(1, 1), (2, 2), (1, 2)}


def test_the_gateway_in_the_image_answers_the_golden_predictions(debian_root, tmp_path):
    model = small.train(tmp_path / "trained", small.Linear(1.0))
    model = tiny.recorded(model, platform.python_version(), **VERSIONS)
    image = build(
        model,
        Made(trained=None, run=None),
        bench=tiny.workbench(debian_root, Installed()),
        folder=tmp_path / "images",
    )
    plan = json.loads((Path(model.path) / "plan.json").read_bytes())
    port = free_port()
    config = {**gateway_config(plan), "host": "127.0.0.1", "port": port}
    with running(tmp_path / "images", "returns:1", config, tmp_path) as said:
        url = f"http://127.0.0.1:{port}"
        ready(url, said)
        found = {c.gate: c for c in checks(Staged(url, image), ())}
    for gate in ("schema", "golden predictions", "malformed input"):
        assert found[gate].passed, found[gate].reason
    layout = Layout(tmp_path / "images")
    entry = layout.resolve(image.digest)
    [bill] = [content(layout, e) for e in referrers(layout, entry) if "dx" in e.artifact_type]
    purls = {c.get("purl", "").partition("@")[0] for c in json.loads(bill)["components"]}
    assert {"pkg:deb/debian/libc6", "pkg:pypi/pandas", "pkg:pypi/onward"} <= purls
