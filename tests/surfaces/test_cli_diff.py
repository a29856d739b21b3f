"""`onward diff`: two snapshots, two tables, and what cannot be compared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from taking_in import take_in
from typer.testing import CliRunner

from onward.core.errors import OnwardError
from onward.core.records import ColumnDiff, DatasetRef, Diff, Retyped, RowDiff
from onward.surfaces.cli.commands import cli
from onward.surfaces.cli.diff import _show

SCALE = (
    "distance: Jensen-Shannon, 0 alike to 1 disjoint; shift: of the mean, in standard deviations"
)


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


def test_what_moved_is_shown_with_how_far(capsys: pytest.CaptureFixture[str]) -> None:
    _show(
        Diff(
            before=DatasetRef(table="raw.t", snapshot=1, rows=100),
            after=DatasetRef(table="raw.t", snapshot=2, rows=103),
            added=(),
            dropped=(),
            retyped=(Retyped(name="n", before="BIGINT", after="TIMESTAMP WITH TIME ZONE"),),
            rows=RowDiff(
                how="key", before=100, after=103, added=5, removed=2, changed=7,
                columns={"x": 6, "[odd]": 1}, key=("id",),
            ),
            columns=(
                ColumnDiff(name="at", distance=0.9, missing=(0, 0), mean=(1.7e9, 1.8e9), shift=2.0),
                ColumnDiff(name="x", distance=0.12, missing=(0.1, 0.5), mean=(1.5, 3.0), shift=0.4),
                ColumnDiff(name="n", distance=None, missing=(0.0, 0.2)),
                ColumnDiff(name="same", distance=0.0, missing=(0.0, 0.0)),
            ),
        )
    )  # fmt: skip
    shown = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert shown == [
        "raw.t@1 → raw.t@2",
        "rows 100 → 103; by id: 5 added, 2 removed, 7 changed",
        "changed x in 6, [odd] in 1",
        "column ~ n bigint → timestamp",
        "column distance missing mean shift",
        "at 0.900 far apart 2.00 sd",
        "x 0.120 moved 10 % → 50 % 1.5 → 3 0.40 sd",
        "n 0 % → 20 %",
        SCALE,
        "1 column is distributed alike",
    ]
