"""`onward deploy`, as it is typed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import yaml
from typer.testing import CliRunner, Result

import small_images as tiny
from onward.app.project import open_project
from onward.core.errors import DeclarationError, NotFoundError, OnwardError
from onward.flow.image import registered
from onward.stages.serve.gateway.settings import GatewayConfig
from onward.surfaces.cli.commands import cli
from services.registry import RegistryServer


def invoke(folder: Path, *words: str) -> Result:
    return CliRunner().invoke(cli, [*words, "--project", str(folder)], catch_exceptions=False)


@pytest.fixture(scope="module")
def delivered(
    tmp_path_factory: pytest.TempPathFactory,
    shops: Callable[[Path], Path],
    registry: RegistryServer,
) -> Path:
    """A shop after its first run, which knows a registry, a root and wheels."""
    folder = shops(tmp_path_factory.mktemp("deploys") / "shop")
    pipeline = folder / "pipeline.py"
    declared = pipeline.read_text().replace('every="7d",', 'every="7d",\n    deploy=WANTS,')
    pipeline.write_text(
        declared.replace(
            "pipeline = ow.", "WANTS = ow.Kubernetes(replicas=2, max_replicas=6)\n\npipeline = ow."
        )
    )
    with open_project(folder) as project:
        assert project.run().state == "promoted"
        trained = Path(registered(project.ledger, "order_return").path)
    about = json.loads((trained / "environment.json").read_text())
    tiny.root(folder / "root", ".".join(about["python"].split(".")[:2]))
    with (folder / "onward.toml").open("a") as file:
        file.write('[deploy]\nbase = "root:root"\nwheels = "wheels"\ninsecure = true\n')
        file.write(f'registry = "{registry.host}/deployed"\n')
    tiny.wheels(folder / "wheels", trained, extras=["redis", "hiredis"])
    return folder


def redis(folder: Path) -> None:
    toml = (folder / "onward.toml").read_text()
    if "[online]" not in toml:
        online = '[online]\nstore = "redis"\nurl = "redis://:${secret:shop}@store:6400/0"\n'
        (folder / "onward.toml").write_text(toml + online)
        CliRunner().invoke(cli, ["secrets", "set", "shop", "-p", str(folder)], input="hunter2\n")


def test_what_a_cluster_cannot_do_is_said_before_anything_is_written(delivered: Path) -> None:
    with pytest.raises(NotFoundError, match="no target 'kubernets'") as refused:
        invoke(delivered, "deploy", "render", "--target", "kubernets")
    assert "did you mean 'kubernetes'?" in refused.value.expected
    with pytest.raises(NotFoundError, match="version 1 of 'order_return' has no whole image"):
        invoke(delivered, "deploy", "render", "--target", "kubernetes")
    invoke(delivered, "image", "build")
    with pytest.raises(DeclarationError, match="features of habits are looked up in a file"):
        invoke(delivered, "deploy", "render", "--target", "kubernetes")


def test_files_are_shown_written_and_replaced(delivered: Path, tmp_path: Path) -> None:
    redis(delivered)
    invoke(delivered, "image", "build")
    shown = invoke(delivered, "deploy", "render", "--target", "kubernetes").output
    kinds = [found["kind"] for found in yaml.safe_load_all(shown)]
    assert "HorizontalPodAutoscaler" in kinds
    assert "${secret:shop}@store:6400" in shown  # by reference
    assert "hunter2" not in shown
    out = tmp_path / "out"
    wrote = invoke(delivered, "deploy", "render", "--target", "helm", "--out", str(out)).output
    assert wrote.count("wrote ") == len(list(out.rglob("*.yaml")))
    assert "templates/deployment.yaml" in wrote
    invoke(delivered, "deploy", "render", "--target", "compose", "--out", str(out))
    assert not (out / "Chart.yaml").exists()
    told = msgspec.json.decode((out / "gateway.json").read_bytes(), type=GatewayConfig)
    assert told.online.arguments["secrets"]["folder"] == "/run/secrets"
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    mine = str(tmp_path / "mine")
    with pytest.raises(OnwardError, match="did not write"):
        invoke(delivered, "deploy", "render", "--target", "compose", "--out", mine)
    local = json.loads(invoke(delivered, "deploy", "render", "--target", "local", "--json").output)
    config = msgspec.json.decode(local["gateway.json"], type=GatewayConfig)
    assert Path(config.routes) == delivered / ".onward" / "routes"


def test_what_serves_is_pushed_and_handed_to_the_targets_tool(
    delivered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    redis(delivered)
    invoke(delivered, "image", "build")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NotFoundError, match="kubectl is not on the path"):
        invoke(delivered, "deploy", "apply", "--target", "kubernetes")
    with pytest.raises(OnwardError, match="nothing to put into effect"):
        invoke(delivered, "deploy", "apply", "--target", "local")
    tool = tmp_path / "kubectl"
    tool.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/called\n')
    tool.chmod(0o755)
    done = json.loads(
        invoke(delivered, "deploy", "apply", "--target", "kubernetes", "--json").output
    )
    assert done["pushed"][0].endswith("/deployed/order_return:1")
    folder = delivered / ".onward" / "deploy" / "kubernetes"
    assert (tmp_path / "called").read_text().split() == ["apply", "--filename", str(folder)]
    image = yaml.safe_load((folder / "deployment.yaml").read_text())["spec"]["template"]["spec"]
    assert image["containers"][0]["image"].startswith(done["pushed"][0] + "@sha256:")
    assert "applied" in invoke(delivered, "deploy", "apply", "--target", "kubernetes").output
    tool.write_text('#!/bin/sh\necho "no cluster" >&2\nexit 1\n')
    with pytest.raises(OnwardError, match="kubectl failed: no cluster"):
        invoke(delivered, "deploy", "apply", "--target", "kubernetes")
