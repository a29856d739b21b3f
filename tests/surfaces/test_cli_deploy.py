"""`onward deploy`, as it is typed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import yaml
from typer.testing import CliRunner, Result

import small_images as tiny
import stages.trained_models as small
from onward.app.project import open_project
from onward.core.errors import DeclarationError, NotFoundError, OnwardError
from onward.core.records import ModelRef, Route, Routes
from onward.stages.deploy.image.build import build
from onward.stages.deploy.port import Made
from onward.stages.deploy.step import package
from onward.stages.serve.gateway.settings import GatewayConfig
from onward.stages.serve.routes import write_routes
from onward.surfaces.cli.commands import cli
from services.registry import RegistryServer


def invoke(folder: Path, *words: str) -> Result:
    return CliRunner().invoke(cli, [*words, "--project", str(folder)], catch_exceptions=False)


WANTS = "ow.Kubernetes(replicas=2, max_replicas=6)"


@pytest.fixture
def delivered(
    tmp_path: Path, shops: Callable[[Path], Path], registry: RegistryServer
) -> tuple[Path, ModelRef]:
    """A shop whose model serves, as routes say; and the model, which has no whole image yet."""
    folder = shops(tmp_path / "shop")
    pipeline = folder / "pipeline.py"
    declared = pipeline.read_text().replace('every="7d",', f'every="7d",\n    deploy={WANTS},')
    pipeline.write_text(declared)
    with (folder / "onward.toml").open("a") as file:
        file.write(f'[deploy]\ninsecure = true\nregistry = "{registry.host}/deployed"\n')
    model = small.train(tmp_path / "trained", small.Linear(1.0), name="order_return")
    model = tiny.recorded(model, numpy="2.4.6")
    image = package(model, folder=folder / ".onward" / "images")
    route = Route(arm="champion", image=image, percent=100.0, release="release:order_return@1.1")
    routes = Routes(model="order_return", salt="s", routes=(route,))
    write_routes(folder / ".onward" / "routes", routes)
    return folder, model


@pytest.fixture
def whole(delivered: tuple[Path, ModelRef], tmp_path: Path) -> Path:
    """The shop with a whole image and an online store that others reach."""
    folder, model = delivered
    bench = tiny.workbench(
        tiny.root(tmp_path / "root"), tiny.wheels(tmp_path / "wheels", Path(model.path))
    )
    made = Made(trained=None, run=None)
    build(model, made, bench=bench, folder=folder / ".onward" / "images")
    redis(folder)
    return folder


def redis(folder: Path) -> None:
    toml = (folder / "onward.toml").read_text()
    if "[online]" not in toml:
        online = '[online]\nstore = "redis"\nurl = "redis://:${secret:shop}@store:6400/0"\n'
        (folder / "onward.toml").write_text(toml + online)
        CliRunner().invoke(cli, ["secrets", "set", "shop", "-p", str(folder)], input="hunter2\n")


def test_what_a_cluster_cannot_do_is_said_before_anything_is_written(
    delivered: tuple[Path, ModelRef], whole: Path
) -> None:
    folder, model = delivered
    with pytest.raises(NotFoundError, match="no target 'kubernets'") as refused:
        invoke(folder, "deploy", "render", "--target", "kubernets")
    assert "did you mean 'kubernetes'?" in refused.value.expected
    toml = (folder / "onward.toml").read_text()
    (folder / "onward.toml").write_text(toml.partition("[online]")[0])
    with pytest.raises(DeclarationError, match="features of stores are looked up in a file"):
        invoke(folder, "deploy", "render", "--target", "kubernetes")
    shutil.rmtree(folder / ".onward" / "images")
    package(model, folder=folder / ".onward" / "images")
    with pytest.raises(NotFoundError, match="version 1 of 'order_return' has no whole image"):
        invoke(folder, "deploy", "render", "--target", "kubernetes")
    (folder / ".onward" / "routes" / "order_return.json").unlink()
    with pytest.raises(NotFoundError, match="no version of 'order_return' serves yet"):
        invoke(folder, "deploy", "render", "--target", "kubernetes")


def test_files_are_shown_written_and_replaced(whole: Path, tmp_path: Path) -> None:
    shown = invoke(whole, "deploy", "render", "--target", "kubernetes").output
    kinds = [found["kind"] for found in yaml.safe_load_all(shown)]
    assert "HorizontalPodAutoscaler" in kinds
    assert "${secret:shop}@store:6400" in shown  # by reference
    assert "hunter2" not in shown
    out = tmp_path / "out"
    wrote = invoke(whole, "deploy", "render", "--target", "helm", "--out", str(out)).output
    assert wrote.count("wrote ") == len(list(out.rglob("*.yaml")))
    assert "templates/deployment.yaml" in wrote
    invoke(whole, "deploy", "render", "--target", "compose", "--out", str(out))
    assert not (out / "Chart.yaml").exists()
    assert list(out.rglob("*.part")) == []
    told = msgspec.json.decode((out / "gateway.json").read_bytes(), type=GatewayConfig)
    assert told.online.arguments["secrets"]["folder"] == "/run/secrets"
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    mine = str(tmp_path / "mine")
    with pytest.raises(OnwardError, match="did not write"):
        invoke(whole, "deploy", "render", "--target", "compose", "--out", mine)
    local = json.loads(invoke(whole, "deploy", "render", "--target", "local", "--json").output)
    config = msgspec.json.decode(local["gateway.json"], type=GatewayConfig)
    assert Path(config.routes) == whole / ".onward" / "routes"


def test_ray_serves_out_of_the_project_without_a_registry(
    delivered: tuple[Path, ModelRef], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = delivered
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NotFoundError, match="serve is not on the path"):
        invoke(folder, "deploy", "apply", "--target", "ray-serve")
    tool = tmp_path / "serve"
    tool.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/called\n')
    tool.chmod(0o755)
    done = json.loads(invoke(folder, "deploy", "apply", "-t", "ray-serve", "--json").output)
    assert done["pushed"] == []
    file = folder / ".onward" / "deploy" / "ray-serve" / "serve.yaml"
    assert (tmp_path / "called").read_text().split() == ["deploy", str(file)]
    [application] = yaml.safe_load(file.read_text())["applications"]
    config = msgspec.convert(application["args"]["gateway"], GatewayConfig)
    assert Path(config.routes) == folder / ".onward" / "routes"
    assert Path(config.predictions) == folder / ".onward" / "predictions"
    assert config.parent is None
    [deployment] = application["deployments"]
    assert deployment["autoscaling_config"] == {"min_replicas": 2, "max_replicas": 6}


def test_what_serves_is_pushed_and_handed_to_the_targets_tool(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NotFoundError, match="kubectl is not on the path"):
        invoke(whole, "deploy", "apply", "--target", "kubernetes")
    with pytest.raises(OnwardError, match="nothing to put into effect"):
        invoke(whole, "deploy", "apply", "--target", "local")
    tool = tmp_path / "kubectl"
    tool.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/called\n')
    tool.chmod(0o755)
    done = json.loads(invoke(whole, "deploy", "apply", "--target", "kubernetes", "--json").output)
    assert done["pushed"][0].endswith("/deployed/order_return:1")
    folder = whole / ".onward" / "deploy" / "kubernetes"
    assert (tmp_path / "called").read_text().split() == [
        "apply",
        *(f"--filename={folder / name}" for name in ("gateway.yaml", "routes.yaml", "")),
    ]
    image = yaml.safe_load((folder / "deployment.yaml").read_text())["spec"]["template"]["spec"]
    assert image["containers"][0]["image"].startswith(done["pushed"][0] + "@sha256:")
    assert "applied" in invoke(whole, "deploy", "apply", "--target", "kubernetes").output
    with open_project(whole) as project:
        told = project.ledger.events(kind="deployment.applied", subject="order_return")
    assert [t.event.facts["target"] for t in told] == ["kubernetes", "kubernetes"]
    assert told[0].event.inputs[0].startswith("image:order_return@sha256:")
    tool.write_text('#!/bin/sh\necho "no cluster" >&2\nexit 1\n')
    with pytest.raises(OnwardError, match="kubectl failed: no cluster"):
        invoke(whole, "deploy", "apply", "--target", "kubernetes")
