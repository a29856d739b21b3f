"""`onward image`, as it is typed, in a shop whose runs build whole images."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

import small_images as tiny
from onward.app.images import open_layout
from onward.app.project import open_project
from onward.core.errors import DeclarationError, NotFoundError
from onward.flow.release.image import registered
from onward.flow.release.releases import champion
from onward.surfaces.cli.commands import cli
from services.registry import RegistryServer


def invoke(folder: Path, *words: str) -> Result:
    return CliRunner().invoke(
        cli, ["image", *words, "--project", str(folder)], catch_exceptions=False
    )


@pytest.fixture(scope="module")
def delivered(tmp_path_factory: pytest.TempPathFactory, shops: Callable[[Path], Path]) -> Path:
    """A shop after its first run, with a root and wheels beside it."""
    folder = shops(tmp_path_factory.mktemp("images") / "shop")
    with open_project(folder) as project:
        assert project.run().state == "promoted"
        trained = Path(registered(project.ledger, "order_return").path)
    about = json.loads((trained / "environment.json").read_text())
    tiny.root(folder / "root", ".".join(about["python"].split(".")[:2]))
    tiny.wheels(folder / "wheels", trained)
    return folder


def test_an_image_is_built_shown_and_checked(delivered: Path) -> None:
    assert "the model alone" in invoke(delivered, "list").output
    assert invoke(delivered).output == invoke(delivered, "list").output
    with pytest.raises(DeclarationError, match="an image needs a base") as refused:
        invoke(delivered, "build")
    assert "[deploy] base" in refused.value.next_step
    with pytest.raises(DeclarationError, match="base is 'roof:root'"):
        invoke(delivered, "build", "--base", "roof:root")
    with (delivered / "onward.toml").open("a") as file:
        file.write('[deploy]\nwheels = "wheels"\n')
    assert invoke(delivered, "key", "--new").output == invoke(delivered, "key").output
    built = invoke(delivered, "build", "--base", "root:root").output
    for word in ("base", "environment", "onward", "record", "model", "attached", "cyclonedx"):
        assert word in built
    [listed] = json.loads(invoke(delivered, "list", "--json").output)
    assert listed["whole"]
    name = listed["name"]
    assert name == "order_return:1"
    assert listed["digest"] in invoke(delivered, "show", name).output
    [bill] = json.loads(invoke(delivered, "show", name, "--sbom").output)
    assert "pkg:pypi/scikit-learn" in json.dumps(bill)
    [said] = json.loads(invoke(delivered, "show", name, "--provenance").output)
    uris = [d.get("uri", "") for d in said["predicate"]["buildDefinition"]["resolvedDependencies"]]
    assert "model:order_return@1" in uris
    assert [u for u in uris if u.startswith("snapshot:")]
    checked = invoke(delivered, "verify", name)
    assert checked.exit_code == 0
    assert "✓ signature: by key sha256:" in checked.output
    other = "A" * 43 + "="
    assert invoke(delivered, "verify", name, "--key", other).exit_code == 6
    with pytest.raises(DeclarationError, match="the public key is none"):
        invoke(delivered, "verify", name, "--key", "?")
    with pytest.raises(NotFoundError, match="is attached to an image"):
        invoke(delivered, "show", listed["attached"]["application/vnd.cyclonedx+json"])
    with pytest.raises(NotFoundError, match="no version 9 of 'order_return'"):
        invoke(delivered, "build", "--base", "root:root", "--version", "9")


def test_an_image_goes_to_a_registry_and_comes_back(
    delivered: Path, registry: RegistryServer, tmp_path: Path
) -> None:
    with pytest.raises(DeclarationError, match="not said which registry"):
        invoke(delivered, "push", "order_return:1")
    toml = (delivered / "onward.toml").read_text()
    there = f'registry = "{registry.host}/shop"\ninsecure = true\n'
    (delivered / "onward.toml").write_text(f"{toml}{there}")
    pushed = json.loads(invoke(delivered, "push", "order_return:1", "--json").output)
    assert pushed["reference"] == f"{registry.host}/shop/order_return:1"
    assert "there already" in invoke(delivered, "push", "order_return:1").output
    (tmp_path / "onward.toml").write_text("[deploy]\ninsecure = true\n")
    assert "order_return:1" in invoke(tmp_path, "pull", pushed["reference"]).output
    key = invoke(delivered, "key").output.strip()
    checked = invoke(tmp_path, "verify", "order_return:1", "--key", key)
    assert checked.exit_code == 0, checked.output
    assert "not checked" in invoke(tmp_path, "verify", "order_return:1").output
    wrote = invoke(delivered, "dockerfile", "order_return:1", "--out", str(tmp_path / "docker"))
    assert "docker build" in wrote.output
    assert (tmp_path / "docker" / "Dockerfile").read_text().startswith("FROM scratch\n")


def test_what_nothing_names_is_pruned(delivered: Path) -> None:
    whole = invoke(delivered, "show", "order_return:1", "--json").output
    shown = invoke(delivered, "prune", "--dry-run", "--keep", "0").output
    assert "order_return:1" in shown
    assert "champion" in shown
    assert "would go" in shown
    found = json.loads(invoke(delivered, "prune", "--keep", "0", "--json").output)
    assert {v["because"] for v in found["verdicts"] if v["name"] == "order_return:1"} == {
        "champion"
    }
    assert invoke(delivered, "show", "order_return:1", "--json").output == whole
    assert invoke(delivered, "verify", "order_return:1").exit_code == 0
    assert "are gone" in invoke(delivered, "prune").output


def test_with_a_base_every_run_delivers_a_whole_image(
    delivered: Path, orders: Callable[..., Path]
) -> None:
    from datetime import UTC, datetime

    orders(delivered, "second", rows=300, start=datetime(2026, 2, 12, tzinfo=UTC), seed=5)
    flags = {"deploy.base": "root:root", "deploy.wheels": "wheels"}
    with open_project(delivered, flags=flags) as project:
        outcome = project.run(force=True)
        assert outcome is not None
        assert outcome.deployment.passed
        layout = open_layout(project.settings)
        assert layout.tags()["order_return:2"].digest == outcome.deployment.image.digest
        assert champion(project.ledger, "order_return").model.version == 1
        answer = project.predict(project.sample(2))
        assert len(answer["predictions"]) == 2


def test_a_shop_without_images_or_a_key_says_what_to_do(stocked: Path) -> None:
    assert "`onward run` makes the first" in invoke(stocked, "list").output
    with pytest.raises(NotFoundError, match="are not signed"):
        invoke(stocked, "key")
    with pytest.raises(NotFoundError, match="no version of 'order_return' is registered"):
        invoke(stocked, "build", "--base", "root:root")
