"""The image runs: Debian's Python, the copied environment, the gateway, the golden predictions."""

from __future__ import annotations

import json
import platform
import time
from importlib import metadata
from pathlib import Path

import httpx
import pytest
import trained_models as small

import small_images as tiny
from onward.stages.deploy.acceptance import Staged, checks
from onward.stages.deploy.adapters.installed import Installed
from onward.stages.deploy.image.build import build
from onward.stages.deploy.image.model import gateway_config
from onward.stages.deploy.oci.layout import Layout
from onward.stages.deploy.oci.referrers import content, referrers
from onward.stages.deploy.port import Made
from services.containers import running
from services.redis_server import free_port


def ready(url: str, said: Path) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"{url}/v2/health/ready").status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    pytest.fail(f"the container is not ready: {said.read_text()}")


def test_the_gateway_in_the_image_answers_the_golden_predictions(debian_root, tmp_path):
    model = small.train(tmp_path / "trained", small.Linear(1.0))
    versions = {name: metadata.version(name) for name in ("cloudpickle", "numpy", "pandas")}
    model = tiny.recorded(model, platform.python_version(), **versions)
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
