"""`onward data status`: the figures of every table, now and over time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from onward.core.errors import OnwardError
from onward.surfaces.cli.commands import cli
from onward.surfaces.cli.data import _age


def invoke(folder: Path, *words: str) -> Any:
    return CliRunner().invoke(cli, ["data", "status", *words, "--project", str(folder)])


def told(folder: Path, *words: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(invoke(folder, *words, "--json").output)
    return found


def test_every_table_has_its_figures(stocked: Path) -> None:
    tables = {t["name"]: t for t in told(stocked)["tables"]}
    assert {n: t["kind"] for n, t in tables.items()} == {
        "orders": "source", "sold": "transform", "habits": "features",
    }  # fmt: skip
    orders = tables["orders"]
    assert (orders["rows"], orders["waiting"]) == (390, 10)
    assert orders["total"]["error_rate"] == pytest.approx(10 / 400)
    assert tables["habits"]["rows"] > 0
    for one in tables.values():
        assert one["total"]["basis"] == "measured"
        assert one["total"]["seconds"] > 0
    shown = invoke(stocked).output
    assert "in quarantine: orders 10" in shown
    [line] = [row for row in shown.splitlines() if row.startswith("orders")]
    assert "2.5 %" in line


def test_a_price_is_put_on_time_where_one_is_declared(own_stock: Path) -> None:
    assert "puts a price on it" in invoke(own_stock).output
    with (own_stock / "onward.toml").open("a") as file:
        file.write('[cost]\nper_hour = 36\ncurrency = "CHF"\n')
    [orders] = told(own_stock, "orders")["tables"]
    assert orders["total"]["cost"] == pytest.approx(orders["total"]["seconds"] / 100)
    shown = invoke(own_stock, "--since", "2h").output
    assert "cost is time at 36 CHF an hour, as declared" in shown
    assert "CHF" in invoke(own_stock).output


def test_time_is_drawn_as_a_line(stocked: Path) -> None:
    shown = invoke(stocked, "orders", "--since", "30d").output
    [line] = [row for row in shown.splitlines() if row.startswith("orders")]
    assert line.rstrip().endswith("·" * 29 + "█")
    assert "the last 30d, oldest first" in shown
    assert len(told(stocked, "orders", "--since", "30d")["tables"][0]["periods"]) == 30


@pytest.mark.parametrize(
    ("words", "said"),
    [(("ordres",), "did you mean 'orders'"), (("--since", "soon"), "'soon' is not a duration")],
)
def test_a_mistake_ends_in_its_message(stocked: Path, words: tuple[str, ...], said: str) -> None:
    error = invoke(stocked, *words).exception
    assert isinstance(error, OnwardError)
    assert said in str(error)


def test_a_price_is_a_number(own_stock: Path) -> None:
    with (own_stock / "onward.toml").open("a") as file:
        file.write('[cost]\nper_hour = "much"\n')
    error = invoke(own_stock).exception
    assert isinstance(error, OnwardError)
    assert "per_hour is 'much'" in str(error)


def test_ages_are_short() -> None:
    assert [_age(s) for s in (None, 5, 150, 7200, 86_400 * 2, 86_400)] == [
        "", "5 s", "2 min", "2 h", "2 d", "24 h",
    ]  # fmt: skip
