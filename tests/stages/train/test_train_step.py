from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

import cloudpickle
import numpy as np
import pyarrow.parquet as pq
import pytest

import onward as ow
from onward.core import digest
from onward.core.errors import DataError, DeclarationError, Location, OnwardError
from onward.core.records import Candidate
from onward.infra.compute.local import LocalCompute
from onward.stages.train.step import train

cloudpickle.register_pickle_by_value(sys.modules[__name__])


class Shifted:
    """A user's own estimator, pickled by value."""

    def __init__(self, inner):
        self.inner = inner
        self.classes_ = inner.classes_

    def predict_proba(self, x):
        return self.inner.predict_proba(x)


def delay(X, y, depth=3):
    from sklearn.ensemble import HistGradientBoostingClassifier

    model = HistGradientBoostingClassifier(max_iter=5, max_depth=depth, random_state=0)
    return Shifted(model.fit(X, y))


def tree(X, y):
    from sklearn.tree import DecisionTreeClassifier

    return DecisionTreeClassifier(max_depth=3, random_state=0).fit(X, y)


def line(X, y):
    from sklearn.tree import DecisionTreeRegressor

    return DecisionTreeRegressor(max_depth=3, random_state=0).fit(X, y)


def nothing(X, y):
    pass


def failing(X, y):
    raise ValueError("no convergence")


class Answers:
    def __init__(self, answers, classes=(0, 1)):
        self.answers = answers
        self.classes_ = classes

    def predict_proba(self, x):
        return np.array(self.answers)


def nan(X, y):
    return Answers([[np.nan, np.nan]] * 300)


def one_column(X, y):
    return Answers([[1.0]] * 300, classes=[1])


def short(X, y):
    return Answers([[0.5, 0.5]] * 2)


def unfitted(X, y):
    from sklearn.tree import DecisionTreeClassifier

    return DecisionTreeClassifier


def declared(function, task="binary", **options):
    return ow.model(features=[], label=None, task=task, **options)(function)


@pytest.fixture
def fit(training, inline, tracker, request_features, folder):
    def run(model, on=training, compute=inline, run="r1", parameters=None, commit="abc"):
        return train(
            model,
            on,
            Candidate(
                model=model.name, parameters=parameters or model.parameters, origin="defaults"
            ),
            request_features,
            compute=compute,
            tracker=tracker,
            folder=folder,
            commit=commit,
            run=run,
        )

    return run


def test_the_newest_rows_are_held_out_whole_moments_at_a_time(fit, training, tracker):
    trained = fit(declared(tree, holdout=0.1999))
    times = pq.read_table(training.path)["event_time"].to_pylist()
    assert trained.holdout_from == times[1200]  # rows come in threes, 1200.15 is the border
    assert times[1199] < trained.holdout_from
    [logged] = tracker.runs.values()
    assert logged["metrics"]["train_rows"] == 1200
    assert logged["metrics"]["holdout_rows"] == 300
    assert logged["tags"]["onward.snapshots"] == " ".join(training.inputs)
    assert logged["tags"]["onward.digest"] == trained.digest
    assert str(logged["artifacts"]) == trained.path


def test_the_folder_says_all_that_is_needed_to_serve_and_repeat(fit, training):
    trained = fit(declared(tree))
    folder = Path(trained.path)
    model = cloudpickle.loads((folder / "model.pkl").read_bytes())
    golden = json.loads((folder / "golden.json").read_text())
    features = np.array(golden["features"], dtype=float)
    assert features.shape == (32, 2)
    assert len(golden["rows"]) == 32
    assert golden["rows"][0].keys() == {"flight_id", "scheduled_at", "wind", "origin"}
    assert golden["rows"][0]["scheduled_at"] >= trained.holdout_from.isoformat()
    again = model.predict_proba(features_frame(features, training.plan))[:, 1]
    assert again.tolist() == golden["predictions"]
    plan = json.loads((folder / "plan.json").read_text())
    assert (plan["task"], plan["model"], plan["label"]) == ("binary", "tree", "late")
    assert plan["classes"] == [0, 1]
    environment = json.loads((folder / "environment.json").read_text())
    assert environment["commit"] == "abc"
    assert environment["distributions"]["scikit-learn"]
    pinned = (folder / "requirements.txt").read_text().splitlines()
    assert f"scikit-learn=={environment['distributions']['scikit-learn']}" in pinned
    assert "def tree(X, y)" in (folder / "code.py").read_text()
    assert cloudpickle.loads((folder / "request_features.pkl").read_bytes()).plan == training.plan


def features_frame(features, plan):
    import pandas as pd

    return pd.DataFrame(features, columns=[c.name for c in plan.columns])


def test_the_same_inputs_give_the_same_bytes_in_two_processes(fit, folder):
    model = declared(delay)
    first = fit(model, compute=LocalCompute())
    for path in [*folder.glob("*.json")]:
        path.unlink()  # forget it, so that it is fitted again
    before = {p.name: p.read_bytes() for p in Path(first.path).iterdir()}
    again = fit(model, compute=LocalCompute())
    assert {p.name: p.read_bytes() for p in Path(again.path).iterdir()} == before
    assert (again.id, again.digest) == (first.id, first.digest)


def test_what_is_there_and_whole_is_not_fitted_again(fit, tracker):
    model = declared(tree)
    first = fit(model)
    stamp = (Path(first.path) / "model.pkl").stat().st_mtime_ns
    assert fit(model) == first
    assert (Path(first.path) / "model.pkl").stat().st_mtime_ns == stamp
    assert len(tracker.runs) == 1
    again = fit(model, run="r2")
    assert (again.digest, again.kept, first.kept) == (first.digest, True, False)
    assert len(tracker.runs) == 2


def test_another_commit_of_the_same_code_is_the_same_model(fit, monkeypatch):
    first = fit(declared(tree))
    monkeypatch.setattr("onward.stages.train.step.source_of", lambda _: "# moved about")
    again = fit(declared(tree), run="r2", commit="def")
    assert (again.id, again.digest, again.commit) == (first.id, first.digest, "abc")
    assert (Path(again.path) / "code.py").read_text() != "# moved about"


def test_other_on_demand_code_is_another_model(training, request_features, inline, tracker, folder):
    ids = set()
    for version in ("1", "2", "2"):
        model = declared(tree)
        candidate = Candidate(model=model.name, parameters={}, origin="defaults")
        found = train(
            model, training, candidate, dataclasses.replace(request_features, version=version),
            compute=inline, tracker=tracker, folder=folder, commit=None, run="r1",
        )  # fmt: skip
        ids.add(found.id)
    assert len(ids) == 2


def test_an_altered_folder_is_made_anew(fit):
    first = fit(declared(tree))
    (Path(first.path) / "golden.json").write_text("{}")
    again = fit(declared(tree))
    assert again.digest == first.digest == digest.of_folder(Path(first.path))


def test_other_parameters_are_another_model(fit):
    model = declared(delay)
    assert fit(model).id != fit(model, parameters={"depth": 2}).id


@pytest.mark.parametrize(("task", "function"), [("multiclass", tree), ("regression", line)])
def test_other_tasks(fit, make_training, task, function):
    trained = fit(declared(function, task), on=make_training(task))
    golden = json.loads((Path(trained.path) / "golden.json").read_text())
    plan = json.loads((Path(trained.path) / "plan.json").read_text())
    predictions = np.array(golden["predictions"])
    if task == "multiclass":
        assert plan["classes"] == ["early", "late", "on time"]
        assert predictions.sum(axis=1) == pytest.approx(np.ones(32))
    else:
        assert plan["classes"] is None
        assert predictions.shape == (32,)


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (nothing, "NoneType, which has no predict_proba"),
        (unfitted, "DecisionTreeClassifier, which is a class"),
        (nan, "answered held-out row 1 with nan"),
        (one_column, r"classes_ \[1\]"),
        (short, r"answered 300 rows with shape \(2,\)"),
    ],
)
def test_a_function_that_returns_no_classifier_is_refused(fit, function, said, folder):
    model = declared(function)
    with pytest.raises(DeclarationError, match=said) as caught:
        fit(model)
    assert caught.value.location == model.location
    assert not folder.exists()


def test_an_error_in_the_function_names_its_line(fit):
    with pytest.raises(OnwardError, match="ValueError: no convergence") as caught:
        fit(declared(failing), compute=LocalCompute())
    line_of_raise = failing.__code__.co_firstlineno + 1
    assert caught.value.location == Location(__file__, line_of_raise)


def test_labels_that_do_not_fit_the_task_are_refused(fit, make_training):
    with pytest.raises(DataError, match="'early', 'late', 'on time'"):
        fit(declared(tree), on=make_training("multiclass"))
    with pytest.raises(DataError, match=r"missing in 1,499 of 1,500"):
        fit(declared(tree), on=make_training(label=[1] + [None] * 1499))
    with pytest.raises(DataError, match=r"all 1,200 training rows .* have label 1"):
        fit(declared(tree), on=make_training(label=[1] * 1200 + [0] * 300))


def test_rows_of_one_moment_cannot_be_split(fit, make_training, training):
    moment = [training.first] * 1500
    with pytest.raises(DataError, match="cannot be split by time"):
        fit(declared(tree), on=make_training(event_time=moment))


def test_infinite_features_are_no_golden_rows(fit, make_training):
    hour = np.where(np.arange(1500) % 2 == 0, np.inf, 1.0)
    trained = fit(declared(delay), on=make_training(hour=hour))
    golden = json.loads((Path(trained.path) / "golden.json").read_text())
    assert {row[1] for row in golden["features"]} == {1.0}
