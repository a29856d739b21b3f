"""`onward lake`: tables, history, gc and compact, on a lake with a past."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from onward.app import lake as app
from onward.app.project import open_project
from onward.core.errors import NotFoundError
from onward.infra.lake.iceberg import open_lake
from onward.surfaces.cli.commands import cli


@pytest.fixture
def grown(tmp_path: Path, shops: Callable[[Path], Path]) -> Path:
    folder = shops(tmp_path / "shop")
    lake = open_lake(folder / ".onward" / "lake")
    for number in range(3):
        lake.append("raw.orders", pa.table({"id": [number]}), key=f"k{number}")
    return folder


def onward(folder: Path, *words: str) -> str:
    done = CliRunner().invoke(cli, ["lake", *words, "--project", str(folder)])
    assert done.exit_code == 0, done.exception
    return done.output


def test_a_lake_is_looked_at_compacted_and_swept(grown: Path) -> None:
    assert "raw.orders" in onward(grown, "tables")
    [table] = json.loads(onward(grown, "tables", "--json"))
    assert (table["rows"], table["files"], table["snapshots"]) == (3, 3, 3)

    shown = onward(grown, "history", "orders")
    assert [line.split()[-1] for line in shown.splitlines()[1:]] == ["k2", "k1", "k0"]
    assert json.loads(onward(grown, "history", "raw.orders", "--limit", "1", "--json"))[0][
        "summary"
    ] == {"key": "k2"}

    assert "raw.orders: 3 rows in 1 file" in onward(grown, "compact", "--every", "2")
    assert "no table has" in onward(grown, "compact", "--every", "2")

    assert "recent (3), newest" in onward(grown, "gc", "--dry-run")
    [would] = json.loads(onward(grown, "gc", "--dry-run", "--older-than", "1ms", "--json"))
    assert len(would["swept"]["snapshots"]) == 3
    assert "would go" in onward(grown, "gc", "--dry-run", "--older-than", "1ms")
    assert "are gone" in onward(grown, "gc", "--older-than", "1ms")
    [table] = json.loads(onward(grown, "tables", "--json"))
    assert (table["rows"], table["files"], table["snapshots"]) == (3, 1, 1)


def test_an_empty_lake_says_what_to_do(tmp_path: Path, shops: Callable[[Path], Path]) -> None:
    assert "onward run" in onward(shops(tmp_path / "shop"), "tables")


def test_an_unknown_table_is_answered_with_the_nearest(grown: Path) -> None:
    with open_project(grown) as project, pytest.raises(NotFoundError) as caught:
        app.history(project, "ordres")
    assert "raw.orders" in caught.value.expected
