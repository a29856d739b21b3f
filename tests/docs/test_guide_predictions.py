"""The guide to predictions: what it declares and sets is what there is."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

from typer.testing import CliRunner

from marked_pages import guide
from onward.app.settings.sources import read_settings
from onward.surfaces.cli.commands import cli

GUIDE = guide("predictions")


def test_what_it_declares_is_understood():
    names: dict[str, Any] = {}
    exec(GUIDE.block("serving"), names)
    assert (names["serving"].log, names["serving"].on_log_failure) == ("strict", "refuse")


def test_what_it_sets_are_the_defaults(tmp_path):
    (tmp_path / "onward.toml").write_text("")
    defaults = read_settings(tmp_path, environment={}).gateway
    (tmp_path / "onward.toml").write_text(GUIDE.block("settings"))
    assert read_settings(tmp_path, environment={}).gateway == defaults
    assert defaults.log_bound == timedelta(milliseconds=20)


def test_its_options_exist():
    shown = CliRunner().invoke(cli, ["predictions", "--help"], env={"COLUMNS": "200"}).output
    console = GUIDE.partition("```console")[2].partition("```")[0]
    for option in set(re.findall(r"--[a-z]+", console)):
        assert option in shown
