"""The harness of `python -m bench`; the figures themselves are never asserted in a test."""

import ast
import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def report(monkeypatch):
    monkeypatch.syspath_prepend(ROOT)
    from bench import report

    return report


def row(report, **changed):
    given = {"work": "w", "ours": 1.2, "limit": 1.0, "ratio": 1.2, "target": "", "unit": "s"}
    return report.Row(**(given | changed))


@pytest.mark.parametrize(
    ("target", "ratio", "met"),
    [
        ("<= 1.3", 1.2, True),
        ("<= 1.3", 1.3, True),
        ("≤ 1.3", 1.4, False),
        ("≤1.3", 1.2, True),
        (">= 10", 9.9, False),
        ("≥ 10", 10.0, True),
        ("", 5.0, None),
    ],
)
def test_a_row_says_whether_its_target_is_met(report, target, ratio, met):
    assert row(report, target=target, ratio=ratio).met is met


def test_results_are_kept_with_what_they_were_measured_on(report, tmp_path):
    at = datetime(2026, 11, 23, 8, 30, tzinfo=UTC)
    rows = {"steps": [row(report, target="<= 1", note="n")]}
    path = report.write(rows, report.machine(), tmp_path / "results", at)
    kept = json.loads(path.read_text())
    assert path.name == "2026-11-23T083000.json"
    assert kept["results"]["steps"][0]["met"] is False
    assert kept["results"]["steps"][0]["note"] == "n"
    assert kept["cores"] >= 1


def bench(*words):
    return subprocess.run(
        [sys.executable, "-m", "bench", *words],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_an_unknown_benchmark_is_refused_with_those_there_are():
    run = bench("stratup")
    assert run.returncode == 2
    assert "startup" in run.stderr


def test_every_benchmark_can_be_asked_for_and_runs_quickly_on_demand():
    listed = bench("--help").stdout
    for path in (ROOT / "bench").glob("[a-z]*.py"):
        if path.stem != "report":
            assert path.stem in listed
            verbs = {
                node.name: [argument.arg for argument in node.args.args]
                for node in ast.parse(path.read_text()).body
                if isinstance(node, ast.FunctionDef)
            }
            assert verbs["run"] == ["quick"], path
