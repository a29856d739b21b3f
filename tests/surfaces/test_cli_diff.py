"""`onward diff`: two snapshots, two tables, and what cannot be compared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from taking_in import take_in
from typer.testing import CliRunner

from onward.core.errors import OnwardError
from onward.surfaces.cli.commands import cli


def invoke(folder: Path, *words: str) -> Any:
    return CliRunner().invoke(cli, ["diff", *words, "--project", str(folder)])


def test_a_table_is_compared_with_its_past(own_stock: Path, orders: Any) -> None:
    error = invoke(own_stock, "orders").exception
    assert isinstance(error, OnwardError)
    assert "raw.orders has one snapshot" in str(error)
    orders(own_stock, "second", rows=200, seed=3, flip=True)
    take_in(own_stock)
    shown = invoke(own_stock, "orders").output
    assert "rows     390 → 590; by order_id: 200 added, 0 removed, 0 changed" in shown
    assert "distributed alike" in shown
    told = json.loads(invoke(own_stock, "orders@-1", "orders", "--json").output)
    assert told["rows"]["key"] == ["order_id"]
    same = invoke(own_stock, "orders", f"raw.orders@{told['after']['snapshot']}").output
    assert "the same 590 rows" in same


def test_two_tables_are_compared(stocked: Path) -> None:
    told = json.loads(invoke(stocked, "orders", "sold", "--key", "order_id", "--json").output)
    assert (told["rows"]["added"], told["rows"]["removed"]) == (0, 0)
    shown = invoke(stocked, "features.habits_v1", "sold").output
    assert "column   + order_id varchar" in shown
    assert "column   - mean_amount double" in shown
    assert "no key is known" in shown


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("ordres", "orders"), "did you mean 'orders'"),
        (("orders", "orders@1"), "names no snapshot"),
        (("orders", "sold", "--key", "order"), "did you mean 'order_id'"),
    ],
)
def test_what_is_not_there_is_refused(stocked: Path, words: tuple[str, ...], said: str) -> None:
    error = invoke(stocked, *words).exception
    assert isinstance(error, OnwardError)
    assert said in str(error)
