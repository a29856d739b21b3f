"""`onward transform` and `onward graph`, on a shop whose data came in and nothing was trained."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from onward.app.project import open_project
from onward.core.errors import DataError, NotFoundError
from onward.flow.run.runs import request
from onward.surfaces.cli.commands import cli

MORE = """

totals = ow.sql_transform("totals", "totals.sql", tags=["mart"])


@ow.transform(engine="arrow", checks=[ow.batch_check("is there", _.count() > 0)])
def kept(totals):
    import os

    return totals.slice(0, 0 if os.environ.get("NOTHING") else None)


pipeline"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, shops: Callable[[Path], Path]) -> Path:
    folder = shops(tmp_path_factory.mktemp("transform") / "shop")
    file = folder / "pipeline.py"
    file.write_text(file.read_text().replace("\n\npipeline", MORE))
    (folder / "totals.sql").write_text(
        "select customer, sum(amount) as amount from {{ ref('sold') }} group by customer"
    )
    with open_project(folder) as opened:
        opened.deliver(request(opened.site, "data only", train=False))
    return folder


def invoke(folder: Path, *words: str) -> Result:
    done = CliRunner().invoke(cli, [*words, "--project", str(folder)])
    # The runner closes the stderr that it lent, which DBOS's logger would flush at the next run.
    logging.getLogger("dbos").handlers.clear()
    return done


def told(folder: Path, *words: str) -> Any:
    done = invoke(folder, *words, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.output)


def test_nothing_is_built_from_what_was_never_published(shop: Path) -> None:
    error = invoke(shop, "transform", "--select", "sold").exception
    assert isinstance(error, DataError)
    assert "'sold' reads 'orders', which has never been published" in error.what


def test_what_is_selected_is_built_where_something_changed(project: Path) -> None:
    nothing = told(project, "transform")
    assert (nothing["state"], nothing["reason"]) == ("refreshed", "every table is up to date")
    (project / "totals.sql").write_text(
        "select customer, count(*) as amount from sold group by customer"
    )
    assert told(project, "transform", "--select", "sold")["audits"] == []
    built = told(project, "transform", "--select", "tag:mart+")
    assert built["reason"] == "built totals, kept"
    assert [a["dataset"] for a in built["audits"]] == ["totals", "kept"]
    shown = invoke(project, "transform", "-s", "sold", "--full-refresh")
    assert shown.exit_code == 0, shown.output
    assert "refreshed: built sold" in shown.output
    runs = told(project, "runs")
    assert runs[0]["reason"] == "built sold"
    assert not runs[0]["request"]["train"]


def test_a_held_table_is_said_and_keeps_what_it_had(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_project(project) as opened:
        before = opened.site.lake.dataset("derived.kept")
    monkeypatch.setenv("NOTHING", "1")
    held = invoke(project, "transform", "-s", "kept", "--full-refresh")
    assert held.exit_code == 3
    assert "held: kept: is there" in held.output
    with open_project(project) as opened:
        assert opened.site.lake.dataset("derived.kept") == before


def test_a_selection_may_hold_no_transform_or_nothing(project: Path) -> None:
    assert "no transform is selected" in invoke(project, "transform", "-s", "orders").output
    assert told(project, "transform", "-s", "orders") == {"state": "nothing selected"}
    assert isinstance(invoke(project, "transform", "-s", "sol").exception, NotFoundError)


def test_the_graph_is_shown(project: Path) -> None:
    nodes = {node["name"]: node for node in told(project, "graph")}
    assert nodes["totals"]["reads"] == ["transform:sold"]
    assert nodes["totals"]["tags"] == ["mart"]
    assert [n["name"] for n in told(project, "graph", "--select", "totals+")] == ["totals", "kept"]
    assert "kept" in invoke(project, "graph", "-s", "tag:mart+").output
