"""The guides to images and to deploying: their code, settings and commands, run."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

import onward as ow
import small_images as tiny
from marked_pages import guide
from onward.app.project import open_project
from onward.flow.release.image import registered
from onward.stages.deploy.adapters.registry import Registry
from onward.stages.deploy.adapters.registry_client import Access
from onward.stages.deploy.image.base import RootBase
from onward.stages.deploy.oci.image import add_image
from onward.stages.deploy.oci.layout import Layout
from onward.stages.deploy.oci.reference import Reference
from onward.surfaces.cli.commands import cli
from services.registry import RegistryServer

IMAGES, DEPLOY = guide("images"), guide("deploy")


def typed(folder: Path, lines: str) -> list[str]:
    """Run a console block's commands in the project, and return what each prints."""
    printed = []
    for line in lines.splitlines():
        text = line.removeprefix("$ ").replace(
            "$(cat shop.pub)", (folder / "shop.pub").read_text().strip()
            if (folder / "shop.pub").exists() else "",
        )  # fmt: skip
        words = shlex.split(text, comments=True)
        target = words[words.index(">") + 1] if ">" in words else None
        words = words[1 : words.index(">")] if target else words[1:]
        done = CliRunner().invoke(cli, [*words, "--project", str(folder)])
        assert done.exit_code == 0, (line, done.output, done.exception)
        if target:
            (folder / target).write_text(done.output)
        printed.append(done.output)
    return printed


@pytest.fixture(scope="module")
def shop(
    tmp_path_factory: pytest.TempPathFactory,
    shops: Callable[[Path], Path],
    registry: RegistryServer,
) -> Path:
    """A shop after its first run, set up as the guide to images says, and its base pushed."""
    folder = shops(tmp_path_factory.mktemp("guides") / "shop")
    with open_project(folder) as project:
        assert project.run().state == "promoted"
        trained = Path(registered(project.ledger, "order_return").path)
    about = json.loads((trained / "environment.json").read_text())
    tiny.root(folder / "root", ".".join(about["python"].split(".")[:2]))
    tiny.wheels(folder / "wheels", trained, extras=["redis", "hiredis"])
    base = Layout(folder / "base")
    made = RootBase(folder / "root").fetch(base, platform="linux/amd64")
    image = add_image(base, made.layers, config={}, annotations={}, platform="linux/amd64")
    base.list_entry(image)
    Registry(Access(insecure=True)).push(base, image, Reference(registry.host, "python", "3"))
    settings = IMAGES.block("settings").replace("registry.example", registry.host)
    settings = re.sub(r"sha256:\w+", image.digest, settings)
    with (folder / "onward.toml").open("a") as file:
        file.write(f'{settings}insecure = true\nwheels = "wheels"\n')
        file.write('[online]\nstore = "redis"\nurl = "redis://store:6379/0"\n')
    CliRunner().invoke(cli, ["secrets", "set", "registry", "-p", str(folder)], input="hunter2\n")
    return folder


def test_the_commands_of_the_guide_to_images(
    shop: Path, registry: RegistryServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shop)
    built, listed, shown, bill, provenance = typed(shop, IMAGES.block("commands"))
    assert "environment" in built
    assert "order_return:1" in listed
    assert "attached" in shown
    assert "pkg:pypi/scikit-learn" in bill
    assert "snapshot:" in provenance
    checked = typed(shop, IMAGES.block("signing"))[-1]
    assert "✓ signature: by key" in checked
    there = IMAGES.block("registry").replace("registry.example", registry.host)
    pushed, pulled = typed(shop, there)
    assert f"{registry.host}/team/order_return:1" in pushed
    assert "order_return:1" in pulled
    would, pruned = typed(shop, IMAGES.block("pruning"))
    assert "champion" in would
    assert "would go" in would
    assert "are gone" in pruned
    typed(shop, IMAGES.block("docker"))
    assert (shop / "docker" / "Dockerfile").read_text().startswith(f"FROM {registry.host}/python")


def test_the_declaration_and_the_commands_of_the_guide_to_deploying(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names: dict[str, ow.Kubernetes] = {}
    exec(DEPLOY.block("declaration"), {}, names)
    assert names["wanted"].max_replicas == 10
    monkeypatch.chdir(shop)
    typed(shop, "$ onward image build")
    shown, *_ = typed(shop, DEPLOY.block("commands"))
    assert "kind: Deployment" in shown
    assert (shop / "chart" / "Chart.yaml").exists()
    assert (shop / "compose" / "compose.yaml").exists()
