"""The harness of `python -m bench`; the figures themselves are never asserted in a test."""

import ast
import io
import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.console import Console

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


# ---------------------------------------------------------------- contests

SLOW = """
from bench._entrant import timed

def runs(given):
    print("libraries talk")  # which is no answer
    number = 0
    while True:
        with timed() as took:
            total = sum(range(given["n"]))
        number += 1
        yield took | {"total": total, "number": number, "folder": given["folder"]}

def breaks(given):
    yield {"seconds": 1.0, "cpu_s": 1.0, "peak_mb": 1.0, "total": 0}
    raise ValueError("out of ideas")
"""


@pytest.fixture
def contests(monkeypatch, tmp_path):
    """The parent's side, with a contestant in a module that its processes can import."""
    monkeypatch.syspath_prepend(ROOT)
    (tmp_path / "adding_up.py").write_text(SLOW)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    from bench import _contest

    return _contest


def entrants(contests, **named):
    return [contests.Entrant(name, f"adding_up:{runs}") for name, runs in named.items()]


def test_contestants_take_turns_in_processes_of_their_own(contests, tmp_path):
    told = []
    found = contests.contest(
        entrants(contests, a="runs", b="runs"), {"n": 1000}, folder=tmp_path, rounds=2,
        tell=told.append,
    )  # fmt: skip
    turns = ["a, round 1", "b, round 1", "b, round 2", "a, round 2"]
    assert told == [f"{turn} of 2" for turn in turns]
    for name in "ab":
        assert [run["number"] for run in found[name].runs] == [1, 2]
        assert found[name]["total"] == sum(range(1000))
        assert found[name].seconds > 0
        assert found[name].peak_mb > 1
    folders = {found[name]["folder"] for name in "ab"}
    assert len(folders) == 2
    assert all(Path(folder).parent == tmp_path for folder in folders)


def test_a_fresh_process_for_each_run_holds_nothing_of_the_one_before(contests, tmp_path):
    given = {"folder": tmp_path, "rounds": 2, "warm": {"n": 1}, "fresh": True}
    found = contests.contest(entrants(contests, a="runs"), {"n": 10}, **given)
    assert [run["number"] for run in found["a"].runs] == [1, 1]
    assert len({run["folder"] for run in found["a"].runs}) == 2
    assert {run["total"] for run in found["a"].runs} == {45}


def test_a_contestant_that_fails_is_said_to_and_the_others_go_on(contests, tmp_path):
    found = contests.contest(
        entrants(contests, a="breaks", b="runs", c="nowhere"), {"n": 1}, folder=tmp_path, rounds=2
    )
    assert found["a"].error == "failed: ValueError: out of ideas"
    assert "nowhere" in found["c"].error
    assert found["a"].runs == found["c"].runs == []
    assert len(found["b"].runs) == 2


def test_a_contestant_out_of_patience_sits_out(contests, tmp_path):
    found = contests.contest(
        entrants(contests, a="runs"), {"n": 1}, folder=tmp_path, rounds=3, patience_s=0
    )
    assert len(found["a"].runs) == 1


def test_a_peer_without_its_environment_is_not_installed(contests, report, monkeypatch, tmp_path):
    (tmp_path / "peers" / "rival").mkdir(parents=True)
    (tmp_path / "peers" / "rival" / "pins.txt").touch()
    monkeypatch.setattr(contests, "PEERS", tmp_path / "peers")
    monkeypatch.setattr(contests, "ENVIRONMENTS", tmp_path / "environments")
    rival = contests.Entrant("rival", "bench.peers.rival.pit:runs")
    found = contests.contest([rival], {}, folder=tmp_path, rounds=1)
    assert found["rival"].error == report.NOT_INSTALLED
    installed = tmp_path / "environments" / "rival"
    installed.mkdir(parents=True)
    (installed / ".installed").touch()
    assert contests.interpreter(rival.runs) == installed / "bin" / "python"
    assert contests.interpreter("bench.peers.duckdb.pit:by_hand") == Path(sys.executable)


def outcome(contests, name, seconds, peak_mb=100.0, **found):
    return contests.Outcome(
        name, [{"seconds": seconds, "cpu_s": 2 * seconds, "peak_mb": peak_mb, **found}]
    )


def test_rows_say_how_many_times_ours_a_peer_takes_and_ours_of_the_limit(contests, report):
    from bench._comparison import Comparison

    outcomes = {
        "ours": outcome(contests, "ours", 2.0),
        "plain": outcome(contests, "plain", 1.0),
        "peer": outcome(contests, "peer", 8.0, peak_mb=400.0),
        "away": contests.Outcome("away", error=report.NOT_INSTALLED),
    }
    told = Comparison(
        work="w", ours="ours", limit="plain", targets={"plain": "<= 1.3", "peer": ">= 4"}
    )
    plain, peer, away = told.rows(outcomes, {"peer": "wrong in 3 rows"})
    assert (plain.ratio, plain.cpu_ratio, plain.met) == (2.0, 2.0, False)
    assert plain.note.startswith("same result")
    assert (peer.ratio, peer.met, peer.peak_mb) == (4.0, True, (100.0, 400.0))
    assert peer.note.startswith("wrong in 3 rows")
    assert (away.limit, away.met, away.error) == (None, None, report.NOT_INSTALLED)
    [memory] = told.memory(outcomes, ">= 3", "peer", "away")
    assert (memory.ratio, memory.met) == (4.0, True)


def test_a_table_shows_every_contestant_and_why_one_has_no_figure(report):
    rows = [
        row(report, against="plain", peak_mb=(1.0, 2.0), cpu_ratio=1.1),
        row(report, against="peer", ours=None, limit=None, ratio=None, error="[not] here"),
        row(report, work="alone"),
    ]
    console = Console(width=120, record=True, file=io.StringIO())
    for drawn in report.tables("b", rows):
        console.print(drawn)
    shown = console.export_text()
    assert "b: w" in shown
    assert "1 / 2" in shown
    assert "[not] here" in shown
    assert "alone" in shown


def test_every_peer_that_make_installs_has_pins_and_no_other():
    makefile = (ROOT / "Makefile").read_text()
    found = re.findall(r"^(?:PEERS|SERVERS) \?= (.+)$", makefile, re.MULTILINE)
    listed = " ".join(found).split()
    assert sorted(listed) == sorted(p.parent.name for p in ROOT.glob("bench/peers/*/pins.txt"))
    for peer in listed:
        pins = (ROOT / "bench" / "peers" / peer / "pins.txt").read_text().splitlines()
        assert pins[0].startswith("# ")
        assert all(re.fullmatch(r"[\w.-]+==[\w.+!-]+", pin) for pin in pins[1:])


def test_a_size_that_a_benchmark_has_not_is_refused_with_those_it_has():
    run = bench("pit", "--size", "hight=3")
    assert run.returncode == 2
    assert "rounds, rows, spine" in run.stderr
    assert bench("--size", "rows=3").returncode == 2
