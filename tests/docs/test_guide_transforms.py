"""The guide to transforms: its code, put into a project and run."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import ibis
import pytest
from typer.testing import CliRunner

import onward as ow
from marked_pages import guide
from onward.app.project import open_project
from onward.app.settings.sources import read_settings
from onward.app.testing.run import run_tests
from onward.flow.run.runs import request
from onward.surfaces.cli.commands import cli

GUIDE = guide("transforms")


BLOCKS = ("ibis", "sql_transform", "arrow", "partition", "delta")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, shops: Callable[[Path], Path]) -> Path:
    """The small shop with the guide's transforms, its data taken in."""
    folder = shops(tmp_path_factory.mktemp("guide") / "shop")
    file = folder / "pipeline.py"
    blocks = "\n\n".join(GUIDE.block(name) for name in BLOCKS)
    head = "import pyarrow as pa\nimport pyarrow.compute as pc\n"
    code = file.read_text().replace("from ibis", f"{head}from ibis", 1)
    file.write_text(code.replace("\n\npipeline =", f"\n\n{blocks}\n\npipeline ="))
    (folder / "customers.sql").write_text(GUIDE.block("sql"))
    (folder / "tests").mkdir()
    (folder / "tests" / "test_guide.py").write_text(GUIDE.block("test"))
    (folder / "pytest.ini").write_text("[pytest]\n")
    with open_project(folder) as opened:
        opened.deliver(request(opened.site, "data only", train=False))
    return folder


def test_the_tables_are_published(project: Path) -> None:
    with open_project(project) as opened:
        lake = opened.site.lake
        orders = lake.read("raw.orders")
        assert sum(lake.read("derived.daily_sales")["orders"].to_pylist()) == orders.num_rows
        spent = lake.read("derived.customers")["spent"].to_pylist()
        assert sum(spent) == pytest.approx(sum(orders["amount"].to_pylist()))
        assert min(lake.read("derived.big_orders")["amount"].to_pylist()) > 20


@pytest.mark.parametrize(
    "line", [line for line in GUIDE.splitlines() if line.startswith("onward graph")]
)
def test_the_graph_lines_run(project: Path, line: str) -> None:
    words = [*line.partition("#")[0].split()[1:], "--project", str(project)]
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize(
    "selection", re.findall(r'^onward transform --select "?([^"#\n]+?)"?\s+#', GUIDE, re.MULTILINE)
)
def test_the_selections_select(project: Path, selection: str) -> None:
    done = CliRunner().invoke(cli, ["graph", "--select", selection, "--project", str(project)])
    assert done.exit_code == 0, done.output
    assert "transform" in done.output


def test_a_dbt_project_is_declared_and_found_as_shown() -> None:
    scope = {"ow": ow, "_": ibis._}
    exec(GUIDE.block("dbt"), scope)
    assert scope["shop"].checks["customers_daily"][0].name == "spent something"
    assert set(tomllib.loads(GUIDE.block("dbt-setting"))["transform"]) == {"dbt"}


def test_a_transform_on_spark_is_declared_as_shown(tmp_path: Path) -> None:
    scope = {"ow": ow, "_": ibis._}
    exec(GUIDE.block("spark"), scope)
    rows = [{"ordered_at": datetime(2026, 1, 1, hour)} for hour in (8, 9)]  # noqa: DTZ001
    ow.given(orders=rows).expect(scope["busiest_days"], [{"day": "2026-01-01", "orders": 2}])
    (tmp_path / "onward.toml").write_text(GUIDE.block("spark-setting"))
    assert read_settings(tmp_path).spark.packages.startswith("org.apache.iceberg")


def test_the_tests_pass(project: Path) -> None:
    found = run_tests(project, quiet=True)
    assert (found.exit_code, found.tests) == (0, 2)
