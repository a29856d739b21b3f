"""The guide to releases: its strategies are declared as it says."""

from __future__ import annotations

import re

import pytest

import onward as ow
from marked_pages import guide
from onward.stages.serve.release.simulate import error_rates, fixed, sequence, thresholds

GUIDE = guide("releases")


def test_the_strategies_are_what_the_guide_says():
    names: dict[str, object] = {"ow": ow}
    exec(GUIDE.block("strategies"), names)
    assert [step.shares["candidate"] for step in names["up_to_half"].plan] == [15, 30, 45, 50]
    assert [s.name for s in names["release"]] == ["shadow", "canary"]
    assert names["test"].name == "A/B test"
    assert names["bandit"].name == "bandit"
    assert names["switch"].name == "blue-green"
    assert [step.shares for step in names["switch"].plan] == [{"candidate": 0}, {"candidate": 100}]


def test_the_figures_are_what_the_simulation_gives():
    """The table's first row, made again."""
    row = re.search(r"\| 5 % and 5 % \|(.*)\|", GUIDE)[1]
    said = [float(figure) / 100 for figure in re.findall(r"([\d.]+) %", row)]
    looks = error_rates(0.05, 0.05, runs=2_000, looks=100, each=100, seed=1)
    found = [
        sequence(looks, alpha=0.05, tolerance=0.0).aborted,
        fixed(looks, alpha=0.05, tolerance=0.0, peeking=True).aborted,
        fixed(looks, alpha=0.05, tolerance=0.0, peeking=False).aborted,
        thresholds(looks, limit=0.08).aborted,
    ]
    assert found == pytest.approx(said, abs=0.001)
