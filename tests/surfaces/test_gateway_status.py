"""`onward gateway`: the workers, as they last told of themselves."""

from __future__ import annotations

import json
import os

import pytest
from typer.testing import CliRunner

from onward.core.errors import NotFoundError
from onward.stages.serve.gateway.metrics.board import Board, Retired, Told
from onward.stages.serve.gateway.process.local import announce, withdraw
from onward.surfaces.cli.commands import cli

SAMPLES = {
    "onward_requests_total": {
        ("predict", "200"): 1_234.0, ("predict", "429"): 5.0, ("infer", "500"): 2.0,
    },
    "onward_requests_waiting": {(): 3.0},
    "onward_connections": {(): 4.0},
}  # fmt: skip


@pytest.fixture
def project(tmp_path):
    (tmp_path / "onward.toml").write_text("[project]\nname = 'shop'\n")
    state = tmp_path / ".onward" / "gateway"
    board = Board(state)
    state.mkdir(parents=True)
    board.clear()
    for slot in (0, 1):
        board.tell(
            Told(
                id=f"{slot}-a", slot=slot, pid=os.getpid() + slot, since=1.8e9, state="ready",
                routes={"m": {"version": "v", "refused": None}}, samples=SAMPLES if slot else {},
            )
        )  # fmt: skip
    board.retire(Retired(ids=["1-0"], restarts={1: 2}))
    announce(state, "0.0.0.0", 8080)
    yield tmp_path
    withdraw(state)


def test_workers_are_shown_with_what_they_answered(project):
    shown = CliRunner().invoke(cli, ["gateway", "-p", str(project)]).output.splitlines()
    assert shown[0] == "http://127.0.0.1:8080"
    assert shown[1].split()[-6:] == [
        "requests", "refused", "failed", "waiting", "open", "restarts",
    ]  # fmt: skip
    assert shown[3].split()[-6:] == ["1,241", "5", "2", "3", "4", "2"]


def test_the_same_for_scripts(project):
    told = CliRunner().invoke(cli, ["gateway", "-p", str(project), "--json"]).output
    found = json.loads(told)
    assert [w["requests"] for w in found["workers"]] == [0, 1_241]
    assert found["workers"][1]["versions"] == {"m": "v"}


def test_where_none_runs_it_says_how_to_start_one(tmp_path):
    (tmp_path / "onward.toml").write_text("[project]\nname = 'shop'\n")
    result = CliRunner().invoke(cli, ["gateway", "-p", str(tmp_path)])
    assert isinstance(result.exception, NotFoundError)
    assert "`onward up` starts it" in str(result.exception)
