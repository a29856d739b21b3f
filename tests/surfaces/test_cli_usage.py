"""A command that was called wrongly is answered as any other mistake is."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner

from onward.surfaces import cli as surface
from onward.surfaces.cli.commands import cli

Answer = tuple[int, str]


@pytest.fixture
def onward(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[Sequence[str]], Answer]:
    """Type a command; get its exit code and what it wrote to standard error."""

    def typed(words: Sequence[str]) -> Answer:
        monkeypatch.setattr(sys, "argv", ["onward", *words])
        monkeypatch.setattr("signal.signal", lambda *_: None)
        with pytest.raises(SystemExit) as ended:
            surface.main()
        return int(ended.value.code or 0), capsys.readouterr().err

    return typed


@pytest.mark.parametrize(
    ("words", "what", "expected"),
    [
        (["runn"], "`onward`: there is no command 'runn'", "did you mean 'run'?"),
        (["data", "statsu"], "`onward data`: there is no command 'statsu'", "'status'"),
        (["run", "--forze"], "`onward run`: there is no option '--forze'", "'--force'"),
        (["--versoin"], "`onward`: there is no option '--versoin'", "'--version'"),
        (["run", "now"], "`onward run` does not take 'now'", "onward run [OPTIONS]"),
        (["erase"], "missing option '--subject'", "`onward erase --help`"),
        (["lineage"], "missing argument", "`onward lineage --help`"),
        (["runs", "--limit"], "option '--limit' requires an argument", ""),
        (["runs", "--limit", "few"], "invalid value for '--limit'", "`onward runs --help`"),
        (["check", "--json", "suggest", "x"], "--json stands before `suggest`", "suggest … --json"),
        (["release", "--json", "pause"], "--json stands before `pause`", "release pause … --json"),
        (["image", "--json", "show", "x"], "--json stands before `show`", "image show … --json"),
    ],
)
def test_a_wrong_call_says_what_was_expected(
    onward: Callable[[Sequence[str]], Answer], words: list[str], what: str, expected: str
) -> None:
    code, said = onward(words)
    assert code == 2
    assert what in said
    assert expected in said
    assert said.startswith("error ")
    assert "Usage:" not in said


def test_no_command_at_all_shows_what_there_is(
    onward: Callable[[Sequence[str]], Answer],
) -> None:
    code, said = onward([])
    assert code == 2
    assert "Usage: onward" in said


def test_help_is_no_mistake(onward: Callable[[Sequence[str]], Answer]) -> None:
    assert onward(["run", "--help"]) == (0, "")


ACCESS = """

access = ow.Access(
    roles={"analyst": ow.may(read="raw.*"), "operator": ow.may(run="*", promote="*")},
    members={"analyst": ["ada", "bob"], "operator": "ada"},
    approvals=["erase"],
)
"""


def asked(folder: Path, *words: str) -> str:
    done = CliRunner().invoke(cli, [*words, "--project", str(folder)])
    assert done.exit_code == 0, done.output
    return done.output


def test_a_group_alone_shows_what_it_knows(own_stock: Path) -> None:
    assert "no roles are declared" in asked(own_stock, "access")
    assert json.loads(asked(own_stock, "access", "--json")) is None
    with (own_stock / "pipeline.py").open("a") as file:
        file.write(ACCESS)
    shown = asked(own_stock, "access")
    assert "analyst  ada, bob\n  may read raw.*" in shown
    assert "a second person approves: erase" in shown
    roles = json.loads(asked(own_stock, "access", "--json"))["roles"]
    assert roles[1] == {
        "name": "operator", "members": ["ada"], "may": {"run": ["*"], "promote": ["*"]},
    }  # fmt: skip


def test_the_ledger_alone_says_how_its_chain_stands(stocked: Path) -> None:
    state = json.loads(asked(stocked, "audit", "--json"))
    assert state["events"] > 0
    assert len(state["head"]) == 64
    shown = asked(stocked, "audit")
    assert "the ledger is intact" in shown
    assert state["head"] in shown
    assert json.loads(asked(stocked, "audit", "verify", "--json"))["intact"]


def test_secrets_alone_lists_their_names(stocked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONWARD_SECRET_SHOP_DB", "hidden-word")
    shown = asked(stocked, "secrets")
    assert "shop-db" in shown
    assert "hidden-word" not in shown
    names = [entry["name"] for entry in json.loads(asked(stocked, "secrets", "--json"))]
    assert "shop-db" in names


def test_settings_are_listed_and_a_variable_that_is_none_is_told(
    stocked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = asked(stocked, "settings")
    assert re.search(r"\[gateway\] *\n  host .*\n  port  .*\n", shown)
    one = asked(stocked, "settings", "limits")
    assert "ONWARD_LIMITS_BODY_BYTES" in one
    assert "`waiting` bounds the requests accepted and not answered" in one
    assert "[lake]" not in one
    monkeypatch.setenv("ONWARD_LIMITS_WATING", "9")
    done = CliRunner().invoke(cli, ["settings", "limits", "--json", "--project", str(stocked)])
    assert done.exit_code == 2
    listed = json.loads(done.stdout)
    assert listed["entries"][0]["variable"] == "ONWARD_LIMITS_WAITING"
    assert "ONWARD_LIMITS_WATING" in listed["unknown"]


def test_a_full_disk_is_told_without_a_traceback(
    onward: Callable[[Sequence[str]], Answer], stocked: Path
) -> None:
    code, said = onward(["openlineage", "--out", "/dev/full", "--project", str(stocked)])
    assert code == 1
    assert "the disk is full" in said
    assert "make room" in said
