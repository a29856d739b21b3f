"""What every model registry must do."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from pathlib import Path

import pytest

from onward.core.errors import NotFoundError
from onward.core.records import (
    Candidate,
    EvaluationReport,
    FeaturePlan,
    Metric,
    RunRef,
    TrainingSetRef,
)
from onward.infra.tracking.mlflow import MlflowTracker
from onward.stages.register.adapters.mlflow import MlflowRegistry

AT = datetime(2013, 4, 1, 6, tzinfo=UTC)


def training():
    return TrainingSetRef(
        id="t1", path="/set.parquet", rows=10, label="late", task="binary",
        plan=FeaturePlan(columns=(), views=(), on_demand=(), request=(), key=()),
        as_of=AT, first=AT, last=AT, inputs=("snapshot:raw.flights@1",),
    )  # fmt: skip


@pytest.fixture(scope="module", params=["mlflow"])
def opened(request, tmp_path_factory):
    tracker = MlflowTracker(
        tmp_path_factory.mktemp("registry") / "mlflow.db", tmp_path_factory.mktemp("artifacts")
    )
    return tracker, lambda: MlflowRegistry(tracker.store)


@pytest.fixture
def registry(opened):
    return opened[1]()


@pytest.fixture
def add(opened, registry, tmp_path):
    tracker, _ = opened

    def run(name, run, at=AT):
        logged = tracker.log_run(
            experiment=name, name="train", key=run, parameters={}, metrics={}, tags={}
        )
        trained = RunRef(
            id=f"{name}-{run}", model=name, path=str(tmp_path / run), digest="d" * 64,
            training=training(), candidate=Candidate(model=name, parameters={}, origin="defaults"),
            holdout_from=AT, commit="abc", tracker_run=logged, seconds=1.0,
        )  # fmt: skip
        report = EvaluationReport(
            run=run, model=name, trained=trained.ref, champion=None,
            metrics=(Metric(name="roc_auc", value=0.7, low=0.6, high=0.8, rows=9),),
            champion_metrics=(), slices={}, gates=(), passed=True, rows=9,
        )  # fmt: skip
        return registry.add(trained, report, cards=Path("/cards"), run=run, at=at)

    return run


def aliases(registry, name):
    return {v.version: v.aliases for v in registry.versions(name)}


def test_versions_count_up_and_carry_what_they_came_from(registry, add, tmp_path):
    first, second = add("counted", "r1"), add("counted", "r2")
    assert (first.version, second.version) == (1, 2)
    assert first.ref == "model:counted@1"
    assert first.trained == "trained:counted-r1"
    assert first.path == str(tmp_path / "r1")
    assert first.card == "/cards/counted-1.md"
    newest, oldest = registry.versions("counted")
    assert (newest.model, oldest.model) == (second, first)
    assert newest.metrics == {"roc_auc": 0.7}
    assert (newest.created_at, newest.run, newest.commit) == (AT, "r2", "abc")


def test_a_run_registers_once(registry, add):
    first = add("once", "r1")
    assert add("once", "r1") == first
    assert [v.version for v in registry.versions("once")] == [1]
    assert add("another", "r1").version == 1


def test_the_newest_is_the_challenger_until_it_is_the_champion(registry, add):
    first = add("raced", "r1")
    assert registry.champion("raced") is None
    registry.promote(first)
    assert registry.champion("raced") == first
    second = add("raced", "r2")
    assert aliases(registry, "raced") == {1: ("champion",), 2: ("challenger",)}
    registry.promote(second)
    registry.promote(second)
    assert aliases(registry, "raced") == {1: (), 2: ("champion",)}
    registry.promote(first)  # a rollback
    assert registry.champion("raced") == first


def test_registering_again_takes_no_title_away(registry, add):
    first = add("kept", "r1")
    registry.promote(first)
    add("kept", "r1")
    assert aliases(registry, "kept") == {1: ("champion",)}
    add("kept", "r2")
    add("kept", "r1")
    assert aliases(registry, "kept") == {1: ("champion",), 2: ("challenger",)}


def test_another_opening_finds_the_same(opened, registry, add):
    model = add("reopened", "r1")
    registry.promote(model)
    assert opened[1]().champion("reopened") == model
    assert opened[1]().get("reopened", 1) == model


def test_what_is_not_there_is_not_found(registry, add):
    model = add("present", "r1")
    assert registry.champion("absent") is None
    assert list(registry.versions("absent")) == []
    with pytest.raises(NotFoundError, match="did you mean 'present'"):
        registry.get("presnt", 1)
    with pytest.raises(NotFoundError, match="no version 9 of 'present'"):
        registry.get("present", 9)
    with pytest.raises(NotFoundError):
        registry.promote(dataclasses.replace(model, version=9))
