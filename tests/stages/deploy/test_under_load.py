"""A staged image under load, and asked again what the champion was asked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import trained_models as small

from onward.core.errors import DeclarationError
from onward.core.records import ImageRef, ModelRef
from onward.stages.deploy.acceptance import checks, replayed
from onward.stages.deploy.config import replayed as declared
from onward.stages.deploy.config import under_load
from onward.stages.deploy.load import bear
from onward.stages.deploy.replay import Answered, _judged
from onward.stages.deploy.staged import Staged
from onward.stages.deploy.step import accept, package
from onward.stages.serve.gateway.process.local import LocalServers

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ModelRef:
    return small.train(tmp_path_factory.mktemp("trained") / "trained", small.Linear(1.0))


@pytest.fixture(scope="module")
def image(model: ModelRef, tmp_path_factory: pytest.TempPathFactory) -> ImageRef:
    return package(model, folder=tmp_path_factory.mktemp("images"))


@contextmanager
def staging(image: ImageRef, folder: Path, *, replays: bool = False) -> Iterator[Staged]:
    servers = LocalServers()
    start = servers.start_replay if replays else servers.start_staging
    server = start(image, folder)
    try:
        yield Staged(server.url, image)
    finally:
        server.stop()


def past(*outputs: float | str, **others: Any) -> list[Answered]:
    row = {"order_id": "o", "store": "s1", "amount": 9.5, "placed_at": str(NOON), **others}
    return [
        Answered(request={**row, "order_id": f"o{i}"}, at=NOON, output=output)
        for i, output in enumerate(outputs)
    ]


def test_an_image_is_asked_by_many_at_once(image: ImageRef, tmp_path: Path) -> None:
    gates = (
        under_load(p99_ms=60_000, connections=3, seconds=0.3),
        under_load(p99_ms=0.0001, connections=1, seconds=0.1),
        under_load(p99_ms=60_000, connections=1, seconds=0.1, at_least=1e9),
    )
    with staging(image, tmp_path) as staged:
        slow, fast, many = checks(staged, gates)[-3:]
    assert slow.passed
    assert not fast.passed
    assert not many.passed
    assert slow.gate == "load: 3 connections, p99 ≤ 60000 ms"
    assert re.search(r"p99 [\d.]+ ms, [\d,]+ answers/s, 0 of [\d,]+ failed", slow.reason)
    assert slow.facts["requests"] > 3


def test_what_fails_under_load_is_counted(image: ImageRef, tmp_path: Path) -> None:
    gate = under_load(p99_ms=60_000, connections=2, seconds=0.2, errors=0.5)
    golden = {"rows": [{"order_id": "o"}]}
    with staging(image, tmp_path) as staged:
        refused = bear(staged, golden, gate, "load")
    gone = bear(staged, golden, gate, "load")
    assert not refused.passed
    assert "nothing was answered; first status 400" in refused.reason
    assert not gone.passed
    assert "ConnectionRefusedError" in gone.reason


def test_what_the_champion_was_asked_is_asked_again(image: ImageRef, tmp_path: Path) -> None:
    gate = declared(rows=2, change=0.05)
    with staging(image, tmp_path, replays=True) as staged:
        first = replayed(staged, past(0.5, 0.5), declared(rows=2))
        same = first.facts["change"]
        other = replayed(staged, past(0.5, 0.5 + 2 * (same + 1)), gate)
        refused = replayed(staged, past(0.5, amount=-1.0), gate)
        nothing = replayed(staged, [], gate)
        unknown = replayed(staged, [replace(past(0.5)[0], request={"order_id": "o"})], gate)
    assert first.passed
    assert "2 of 2 requests answered, on average" in first.reason
    assert not other.passed
    assert not refused.passed
    assert "0 of 1 requests answered (first refusal: " in refused.reason
    assert nothing.passed
    assert "was asked nothing in the last 1 day" in nothing.reason
    assert unknown.passed
    assert "what was logged has no store, amount, placed_at" in unknown.reason


def test_the_answers_of_a_multiclass_model_are_compared_by_name(tmp_path: Path) -> None:
    trained = small.train(tmp_path / "trained", small.Sorter(), task="multiclass")
    image = package(trained, folder=tmp_path / "images")
    with staging(image, tmp_path / "staging", replays=True) as staged:
        found = replayed(staged, past("small", "small", "large", "gone"), declared(rows=4))
    assert found.facts == {"rows": 4, "refused": 0, "change": 0.5}


@pytest.mark.parametrize(
    ("task", "pairs", "change", "words"),
    [
        ("binary", [(0.1, 0.3), (0.5, 0.5)], 0.1, "0.1 in probability"),
        ("regression", [(0.0, 1.0), (2.0, 2.0)], 0.5, "0.5 standard deviations"),
        ("regression", [(1.0, 3.0)], 2.0, "2 standard deviations"),
        ("multiclass", [(*"aa",), (*"bc",), (*"bb",), (*"cc",)], 0.25, "25.0% in another class"),
    ],
)
def test_how_far_answers_are_apart(task, pairs, change, words) -> None:
    found = _judged(pairs, [], declared(change=1.0), "replay", task)
    assert found.facts["change"] == pytest.approx(change)
    assert words in found.reason
    assert found.passed == (change <= 1.0)


def test_a_replay_follows_the_other_checks(model: ModelRef, image: ImageRef, tmp_path: Path):
    asked: list[Any] = []

    def answered(gate: Any) -> list[Answered]:
        asked.append(gate)
        return past(0.5)

    gates = (declared(rows=1), under_load(p99_ms=60_000, connections=1, seconds=0.1))
    found = accept(image, servers=LocalServers(), acceptance=gates, folder=tmp_path, past=answered)
    assert found.passed
    assert found.checks[-1].gate == "replay: 1 requests"
    failing = (declared(rows=1), under_load(p99_ms=0.0001, connections=1, seconds=0.1))
    found = accept(
        image, servers=LocalServers(), acceptance=failing, folder=tmp_path, past=answered
    )
    assert not found.passed
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: under_load(p99_ms=0), "p99 within 0 ms"),
        (lambda: under_load(p99_ms=5, connections=0), "0 connections"),
        (lambda: under_load(p99_ms=5, errors=1.0), "100% errors"),
        (lambda: declared(rows=0), "0 rows"),
        (lambda: declared(change=0), "a change of 0"),
    ],
)
def test_declarations_that_mean_nothing_are_refused(make, words) -> None:
    with pytest.raises(DeclarationError, match=re.escape(words)):
        make()
