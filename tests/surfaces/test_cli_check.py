"""`onward check`: what does not fit the data is refused; what is suggested can be pasted."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
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


def checked(folder: Path, *words: str) -> Any:
    return CliRunner().invoke(cli, ["check", *words, "--project", str(folder)])


def mistyped(folder: Path, old: str, new: str) -> OnwardError:
    pipeline = folder / "pipeline.py"
    text = pipeline.read_text()
    assert old in text
    pipeline.write_text(text.replace(old, new, 1))
    error = checked(folder).exception
    assert isinstance(error, OnwardError)
    with open_project(folder) as project, pytest.raises(type(error)) as refused:
        project.run()
    assert str(refused.value) == str(error)
    return error


RULE = 'ow.check("amount is positive", _.amount > 0)'


def test_a_pipeline_that_fits_its_published_data_says_so(stocked: Path) -> None:
    assert "its published table" in checked(stocked).output
    [source] = json.loads(checked(stocked, "--json").output)["sources"]
    assert (source["name"], source["seen"], source["checks"]) == ("orders", "published", 2)
    assert "order_id" in source["columns"]


@pytest.mark.parametrize(
    ("old", "new", "meant"),
    [
        ('key=["order_id"]', 'key=["ordr_id"]', "order_id"),
        ('event_time="ordered_at"', 'event_time="orderd_at"', "ordered_at"),
        ('available_at="recorded_at"', 'available_at="recordet_at"', "recorded_at"),
        ('key=["order_id"]', 'subject="custmer", key=["order_id"]', "customer"),
        (RULE, 'ow.unique("ordr_id")', "order_id"),
        (RULE, 'ow.complete("amuont")', "amount"),
        (RULE, 'ow.fresh("orderd_at", "99999d")', "ordered_at"),
        (RULE, 'ow.references("custmer", "orders.customer")', "customer"),
        (RULE, 'ow.reconcile("sums up", _.amuont.sum(), 3)', "amount"),
        (RULE, 'ow.distribution("amuont")', "amount"),
        (RULE, 'ow.python_check("odd", lambda t: True, columns=["amuont"])', "amount"),
    ],
)
def test_a_mistyped_column_is_refused_though_no_rows_come(
    own_stock: Path, old: str, new: str, meant: str
) -> None:
    error = mistyped(own_stock, old, new)
    assert f"did you mean {meant!r}" in str(error)
    assert error.location is not None


def test_a_time_that_is_none_is_refused_though_no_rows_come(own_stock: Path) -> None:
    error = mistyped(own_stock, 'event_time="ordered_at"', 'event_time="amount"')
    assert "holds no times" in str(error)


def test_columns_that_may_yet_come_are_let_be(own_stock: Path) -> None:
    pipeline = own_stock / "pipeline.py"
    text = pipeline.read_text()
    evolving = text.replace(RULE, 'ow.check("coupon is known", _.coupon.notnull())').replace(
        'key=["order_id"]', 'on_schema_change="evolve", key=["order_id"]'
    )
    pipeline.write_text(evolving)
    assert checked(own_stock).exit_code == 0
    mistyped(own_stock, 'key=["order_id"]', 'key=["ordr_id"]')


def test_a_source_that_was_never_taken_in_is_looked_at_where_it_is(
    tmp_path: Path, shops: Any
) -> None:
    shop = shops(tmp_path / "shop")
    [source] = json.loads(checked(shop, "--json").output)["sources"]
    assert source["seen"] == "origin"
    assert "amount" in source["columns"]
    error = mistyped(shop, RULE, 'ow.unique("ordr_id")')
    assert "did you mean 'order_id'" in str(error)
    with open_project(shop) as project:
        assert not project.site.lake.tables()


def test_where_there_are_no_rows_yet_there_is_nothing_to_hold_against(
    tmp_path: Path, shops: Any
) -> None:
    shop = shops(tmp_path / "shop")
    for file in (shop / "data" / "orders").iterdir():
        file.unlink()
    assert "no rows yet" in checked(shop).output


def test_a_check_may_refer_to_a_column_by_the_name_that_it_gets_in_the_same_run(
    own_stock: Path,
) -> None:
    pipeline = own_stock / "pipeline.py"
    text = pipeline.read_text().replace(RULE, 'ow.references("buyer", "orders.buyer")')
    text = text.replace('key=["order_id"]', 'renamed={"buyer": "customer"}, key=["order_id"]', 1)
    pipeline.write_text(text)
    assert checked(own_stock).exit_code == 0
