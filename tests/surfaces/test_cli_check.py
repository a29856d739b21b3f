"""`onward check suggest`: lines that can be pasted into the pipeline file, and then hold."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from taking_in import take_in
from typer.testing import CliRunner

from onward.app.project import open_project
from onward.core.errors import OnwardError
from onward.surfaces.cli.commands import cli


def invoke(folder: Path, *words: str) -> Any:
    return CliRunner().invoke(cli, ["check", "suggest", *words, "--project", str(folder)])


def test_what_is_printed_can_be_pasted_and_holds(own_stock: Path, orders: Any) -> None:
    shown = invoke(own_stock, "orders").output
    printed = re.search(r"checks=\[\n(.*?)\n\],", shown, re.DOTALL)
    assert printed is not None
    pipeline = own_stock / "pipeline.py"
    text = pipeline.read_text()
    pasted = text.replace("    checks=[\n", "    checks=[\n" + printed[1] + "\n", 1)
    assert pasted != text
    pipeline.write_text(pasted)
    orders(own_stock, "second", rows=300, seed=1)
    take_in(own_stock)
    with open_project(own_stock) as project:
        # Another sample of the same orders: but for a very dear one, nothing is strange about it.
        assert 685 <= project.site.lake.dataset("raw.orders").rows <= 690
        assert len(project.definition.sources["orders"].checks) > 8
    again = json.loads(invoke(own_stock, "orders", "--json").output)
    assert "order_id is unique" in again["declared"]
    assert "order_id is unique" not in [s["name"] for s in again["suggestions"]]
    assert "declared already" in invoke(own_stock, "orders").output


def test_a_transform_is_looked_at_too(stocked: Path) -> None:
    found = json.loads(invoke(stocked, "sold", "--json").output)
    codes = {s["name"]: s["code"] for s in found["suggestions"]}
    assert codes["order_id is in orders.order_id"] == (
        'ow.references("order_id", "orders.order_id")'
    )
    assert found["table"] == "derived.sold"


def test_a_dataset_that_is_not_there_is_refused(stocked: Path) -> None:
    error = invoke(stocked, "ordres").exception
    assert isinstance(error, OnwardError)
    assert "did you mean 'orders'" in str(error)


def test_it_explains_itself_with_an_example(stocked: Path) -> None:
    shown = CliRunner().invoke(cli, ["check", "suggest", "--help"]).output
    assert "Example: onward check suggest orders" in shown
