from __future__ import annotations

import dataclasses
import pickle
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import cloudpickle
import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

import onward as ow
from onward.core.clock import ReplayClock
from onward.core.errors import CorruptError, GateError
from onward.core.records import Candidate
from onward.infra.tracking.mlflow import MlflowTracker
from onward.stages.evaluate.step import evaluate
from onward.stages.register.adapters.mlflow import MlflowRegistry
from onward.stages.register.step import register
from onward.stages.train.step import train

cloudpickle.register_pickle_by_value(sys.modules[__name__])

NOW = datetime(2013, 4, 1, tzinfo=UTC)


def late(X, y, depth=4):
    from sklearn.tree import DecisionTreeClassifier

    return DecisionTreeClassifier(max_depth=depth, min_samples_leaf=30, random_state=0).fit(X, y)


@pytest.fixture(scope="module")
def state(tmp_path_factory):
    return tmp_path_factory.mktemp("state")


@pytest.fixture(scope="module")
def mlflow(state):
    return MlflowTracker(state / "mlflow.db", state / "mlruns")


@pytest.fixture
def delivered(mlflow, state, training, inline, request_features):
    """Train, evaluate and register, as a run does; return all three records."""
    registry = MlflowRegistry(mlflow.store)

    def run(name, run, on=training, gates=(), slices=("origin",), parameters=None):
        champion = registry.champion(name)
        ports = {"compute": inline, "tracker": mlflow}
        model = dataclasses.replace(
            ow.model(features=[], label=None, task="binary")(late), name=name
        )
        candidate = Candidate(model=name, parameters=parameters or {}, origin="defaults")
        trained = train(
            model, on, candidate, request_features, folder=state / "trained", commit="abc",
            run=run, **ports,
        )  # fmt: skip
        report = evaluate(
            trained, gates=gates, slices=slices, champion=champion, champion_rows=None, run=run,
            **ports,
        )  # fmt: skip
        return (
            trained,
            report,
            lambda t=trained, r=report: register(
                t, r, registry=registry, folder=state / "cards", run=run, clock=ReplayClock(NOW)
            ),
        )

    return registry, run


def test_a_model_that_passed_gets_a_version_and_a_card(delivered, training):
    registry, run = delivered
    trained, report, registered = run(
        "carded", "r1", gates=(ow.at_least("roc_auc", 0.6), ow.fair("origin", at_least=0.1))
    )
    model = registered()
    assert model == registered() == registry.get("carded", 1)
    assert registry.versions("carded")[0].created_at == NOW
    _, front, body = Path(model.card).read_text().split("---\n", 2)
    [index] = yaml.safe_load(front)["model-index"]
    auc = report.metrics[0]
    assert index["name"] == "carded"
    assert index["results"][0]["task"]["type"] == "tabular-classification"
    assert index["results"][0]["metrics"][0]["value"] == auc.value
    assert f"| roc_auc | {auc.value:.4g} [{auc.low:.4g}, {auc.high:.4g}] | none yet |" in body
    assert "## By origin" in body
    assert report.gates[1].reason in body
    for fact in (training.ref, *training.inputs, trained.ref, model.digest, "abc", "run:r1"):
        assert fact in body
    assert list(Path(model.card).parent.glob("*.part")) == []


def test_a_card_sets_the_champion_beside(delivered):
    registry, run = delivered
    registry.promote(run("beside", "r1")[2]())
    _, report, registered = run("beside", "r2", parameters={"depth": 2})
    text = Path(registered().card).read_text()
    theirs = report.champion_metrics[0]
    assert "| Metric | Value [95 % interval] | model:beside@1 on the same rows |" in text
    assert f"{theirs.value:.4g} [{theirs.low:.4g}, {theirs.high:.4g}] |" in text


def test_a_challenger_trained_on_shuffled_labels_is_not_registered(
    delivered, training, make_training
):
    registry, run = delivered
    registry.promote(run("guarded", "r1")[2]())
    labels = pq.read_table(training.path)["label"].to_numpy().copy()
    np.random.default_rng(0).shuffle(labels[:1200])
    _, report, registered = run(
        "guarded", "r2", on=make_training(label=labels), gates=(ow.beats_champion("roc_auc"),)
    )
    with pytest.raises(GateError, match="did not pass its gates") as refused:
        registered()
    assert report.gates[0].reason in refused.value.expected
    assert [v.version for v in registry.versions("guarded")] == [1]


def test_an_altered_artifact_is_not_registered(delivered):
    registry, run = delivered
    trained, _, registered = run("altered", "r1")
    (Path(trained.path) / "golden.json").write_text("{}")
    with pytest.raises(CorruptError):
        registered()
    assert list(registry.versions("altered")) == []


def test_a_report_on_another_model_registers_nothing(delivered):
    _, run = delivered
    trained, report, registered = run("mistaken", "r1")
    with pytest.raises(GateError, match="not of"):
        registered(trained, dataclasses.replace(report, trained="trained:other"))


REGISTER = """
import os, pickle, signal, sys
from pathlib import Path
from datetime import UTC, datetime
from onward.core.clock import ReplayClock
from onward.infra.tracking.mlflow import MlflowTracker
from onward.stages.register.adapters.mlflow import MlflowRegistry
from onward.stages.register.step import register

state, point, records = Path(sys.argv[1]), sys.argv[2], bytes.fromhex(sys.argv[3])
store = MlflowTracker(state / "mlflow.db", state / "mlruns").store
die = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
if point == "alias":
    with store.reading() as client:
        type(client).set_registered_model_alias = die
if point == "card":
    Path.replace = die
trained, report = pickle.loads(records)
model = register(trained, report, registry=MlflowRegistry(store), folder=state / "cards", run="r1",
                 clock=ReplayClock(datetime(2013, 4, 1, tzinfo=UTC)))
print(model.ref)
"""


@pytest.mark.crash
def test_a_registration_killed_at_any_point_is_there_once(delivered, state):
    registry, run = delivered
    trained, report, _ = run("killed", "r1")

    def attempt(point):
        given = [str(state), point, pickle.dumps((trained, report)).hex()]
        return subprocess.run(
            [sys.executable, "-c", REGISTER, *given], capture_output=True, text=True, check=False
        )

    for point in ("alias", "card"):
        assert attempt(point).returncode == -signal.SIGKILL
    done = attempt("none")
    assert done.stdout == "model:killed@1\n", done.stderr
    [version] = registry.versions("killed")
    assert version.aliases == ("challenger",)
    assert Path(version.model.card).read_text().startswith("---\n")
