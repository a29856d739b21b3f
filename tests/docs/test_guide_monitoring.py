"""The guide to monitoring: its monitors are declared as it says, and its commands are there."""

from __future__ import annotations

import re
from pathlib import Path

from typer.testing import CliRunner

import onward as ow
from onward.stages.monitor.config import Drift, Freshness, Operational, Performance, Skew
from onward.surfaces.cli.commands import cli

GUIDE = (Path(__file__).parents[2] / "docs" / "guide" / "monitoring.md").read_text()


def test_the_monitors_are_what_the_guide_says() -> None:
    [code] = re.findall(r"<!-- docs: monitors -->\n```python\n(.*?)```", GUIDE, re.DOTALL)
    declared: dict[str, object] = {"ow": ow}
    exec(code, declared)
    kinds = [Operational, Drift, Performance, Freshness, Skew]
    assert [type(monitor) for monitor in declared["monitors"]] == kinds
    explained = re.findall(r"^\| `(\w+)` \|", GUIDE, re.MULTILINE)
    assert explained == [kind.__name__.lower() for kind in kinds]
    assert declared["on_breach"].persist == 2


def test_the_commands_are_there() -> None:
    shown = CliRunner().invoke(cli, ["monitors", "--help"]).output
    options = re.findall(r"^\$ onward monitors (--\w+)", GUIDE, re.MULTILINE)
    assert options == ["--now", "--last"]
    assert all(option in shown for option in options)
