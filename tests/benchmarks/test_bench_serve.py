"""The contest of servers, whole but tiny: ours beside those that run in our environment."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    monkeypatch.syspath_prepend(ROOT)


def test_servers_are_compared_and_those_absent_or_wrong_are_said_to_be(tmp_path, monkeypatch):
    from bench import _contest, _serving, _ways, report, serve

    monkeypatch.setattr(_contest, "ENVIRONMENTS", tmp_path)
    by_name = {contestant.name: contestant for contestant in _serving.CONTESTANTS}
    lies = _ways.Rest(reads=lambda answer: -_ways.first_output(answer))
    wrong = replace(by_name["Starlette"], name="wrong", ways=(lies,))
    names = ("socket echo", "Starlette", "LitServe", "grpcio echo", "grpcio by hand")
    rows = serve.measure(
        seconds=0.2,
        cells=[serve.Cell("REST", 2, 1), serve.Cell("gRPC", 2, 3)],
        contestants=(*(by_name[name] for name in names), wrong),
    )
    measured = [row for row in rows if not row.error]
    rest, rpc = "REST, 1 worker, 2 connections, 1 row", "gRPC, 1 worker, 2 connections, 3 rows"
    assert [(row.work, row.against, row.unit) for row in measured] == [
        (work, name, unit)
        for work, beside in ((rest, names[:2]), (rpc, names[3:]))
        for name in beside
        for unit in ("requests/s", "us CPU/request", "ms p99")
    ]
    assert all(row.ours > 0 and row.limit > 0 and min(row.peak_mb) > 0 for row in measured)
    assert not any(row.note.endswith("failed") for row in measured)
    errors = {row.against: row.error for row in rows if row.error}
    assert errors.pop("LitServe") == report.NOT_INSTALLED
    assert errors.keys() == {"wrong"}
    assert errors["wrong"].startswith("answers [-")
    page = [line.split(" | ") for line in serve.page(rows)]
    titles = [line[0].partition(":")[0] for line in page if line[0].startswith(("REST", "gRPC"))]
    assert titles == ["REST, 1 worker", "gRPC, 1 worker"]
    told = {line[0].lstrip("| "): line for line in page if len(line) > 1}
    assert told["Starlette"][1].count(", ") == 2
    assert told["wrong"][-1].startswith("answers [-")


def test_a_server_that_ends_at_once_is_said_to_in_its_own_words(tmp_path):
    from bench import _contest, _serving

    contestant = _serving.Contestant(name="none", peer="nowhere")
    asked = _serving.started(contestant, tmp_path / "model.json", 1, np.zeros((1, 2)))
    with pytest.raises(_contest.AbsentError, match=r"did not start: .*No module named"):
        asked.__enter__()


def test_a_feature_is_switched_on_and_stands_over_nothing_on():
    from bench import features

    names = ["log fast and shadow", "token", "lookup from SQLite"]
    rows = features.measure(seconds=0.1, loads=(4,), names=names)
    assert [row.work for row in rows] == [f"{name}, 4 connections" for name in names]
    assert all(row.ours > 0 and " 0 failed" in row.note for row in rows)
    page = list(features.page(rows))
    assert page[0] == "|  | 4 connections |"
    assert [line.split(" | ")[0] for line in page[3:]] == [f"| {name}" for name in names]
