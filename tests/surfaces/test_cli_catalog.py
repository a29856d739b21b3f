"""`onward catalog`, on a shop described as in the guide."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from marked_pages import guide
from onward.app.project import open_project
from onward.core.errors import NotFoundError
from onward.flow.run.runs import request
from onward.surfaces.cli.commands import cli

GUIDE = guide("lineage")
TYPED = re.findall(r"^\$ onward (catalog.*?) *(?:#.*)?$", GUIDE, re.MULTILINE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, shops: Callable[[Path], Path]) -> Path:
    """The small shop, its source described as in the guide, its data taken in."""
    found = shops(tmp_path_factory.mktemp("catalog") / "shop")
    described = GUIDE.block("described")
    code = (found / "pipeline.py").read_text()
    source = re.search(r"^orders = ow.Source\(.*?^\)\n", code, re.DOTALL | re.MULTILINE)[0]
    (found / "pipeline.py").write_text(code.replace(source, described))
    return found


@pytest.fixture(scope="module")
def published(folder: Path) -> Path:
    with open_project(folder) as project:
        project.deliver(request(project.site, "data only", train=False))
    return folder


def typed(folder: Path, line: str) -> Result:
    return CliRunner().invoke(cli, [*line.split(), "--project", str(folder)])


def entries(folder: Path) -> dict[str, Any]:
    return {e["name"]: e for e in json.loads(typed(folder, "catalog --json").output)}


def test_what_was_never_published_is_listed_all_the_same(
    tmp_path: Path, shops: Callable[[Path], Path]
) -> None:
    found = entries(shops(tmp_path / "shop"))
    assert list(found) == ["orders", "sold", "habits", "basket", "returned", "order_return"]
    assert {e["ref"] for e in found.values()} == {None}


def test_entries_say_what_is_declared_and_how_it_stands(published: Path) -> None:
    found = entries(published)
    orders, habits, model = found["orders"], found["habits"], found["order_return"]
    assert (orders["owner"], orders["tags"]) == ("shop@example.com", ["sales"])
    assert orders["ref"].startswith("snapshot:raw.orders@")
    assert orders["rows"] > 100
    assert orders["newest"].startswith("2026-")
    assert orders["contract"] == ["key: order_id"]
    assert (orders["reads"], orders["read_by"]) == ([], ["sold"])
    assert habits["ref"] == "features:habits@1"
    assert (habits["reads"], habits["read_by"]) == (["sold"], ["order_return"])
    assert habits["contract"][0] == "entity: customer"
    assert model["reads"] == ["habits", "basket", "returned"]
    assert model["contract"][0] == "at_least(metric=roc_auc, value=0.6)"


def test_protection_is_shown_wherever_the_column_is(published: Path) -> None:
    for name in ("orders", "sold", "habits"):
        columns = {c["name"]: c["classification"] for c in entries(published)[name]["columns"]}
        assert columns["customer"] == ["names a subject", "masked: pseudonym(customer)"], name
        assert not any(kept for column, kept in columns.items() if column != "customer")


def test_dcat_names_every_entry_and_what_it_was_derived_from(published: Path) -> None:
    said = json.loads(typed(published, "catalog --dcat").output)
    assert said["@type"] == "dcat:Catalog"
    resources = {r["dcterms:title"]: r for r in said["dcat:resource"]}
    assert resources.keys() == entries(published).keys()
    assert resources["sold"]["@type"] == "dcat:Dataset"
    assert resources["sold"]["prov:wasDerivedFrom"] == [{"@id": resources["orders"]["@id"]}]
    assert resources["orders"]["dcterms:publisher"]["foaf:name"] == "shop@example.com"
    [customer] = [
        c
        for c in resources["orders"]["csvw:tableSchema"]["csvw:column"]
        if c["csvw:name"] == "customer"
    ]
    assert "masked: pseudonym(customer)" in customer["dcterms:accessRights"]
    assert resources["basket"]["@type"] == "dcat:Resource"
    prefixes = set(said["@context"])
    used = {key.partition(":")[0] for r in resources.values() for key in r if ":" in key}
    assert used <= prefixes


@pytest.mark.parametrize("line", TYPED)
def test_the_guides_lines_run(published: Path, line: str) -> None:
    done = typed(published, line)
    assert done.exit_code == 0, done.output
    assert "orders" in done.output


def test_one_entry_shows_its_contract_and_columns(published: Path) -> None:
    shown = typed(published, "catalog orders").output
    for words in ("shop@example.com", "What customers ordered", "key: order_id", "read by", "sold"):
        assert words in shown


def test_a_mistyped_name_is_answered_with_the_nearest(published: Path) -> None:
    error = typed(published, "catalog ordres").exception
    assert isinstance(error, NotFoundError)
    assert "did you mean 'orders'" in error.expected
