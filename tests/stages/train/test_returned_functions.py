"""A training function may return a function of rows: it is kept, and asked, like an estimator."""

from __future__ import annotations

import functools
import json
import sys
import threading
from pathlib import Path

import cloudpickle
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import onward as ow
from onward.core.errors import DeclarationError
from onward.core.records import Candidate
from onward.infra.compute.local import LocalCompute
from onward.stages.train.function import AnswerError, PythonFunction
from onward.stages.train.returned import estimator_of
from onward.stages.train.step import train

cloudpickle.register_pickle_by_value(sys.modules[__name__])

CLASSES = ["early", "late", "on time"]


def windy(X, y, steep=2.0):
    mean = X["wind"].mean()

    def chance(rows):
        return 1 / (1 + np.exp(-steep * (rows["wind"].fillna(mean) - mean)))

    return chance


def shares(weights, X):
    return np.tile(weights, (len(X), 1))


def constant(X, y):
    return functools.partial(shares, y.value_counts(normalize=True).sort_index().tolist())


class Offset:
    """Something to call that is no function."""

    def __init__(self, by):
        self.by = by

    def __call__(self, X):
        return np.asarray(X["wind"].fillna(0))[:, None] + self.by


def shifted(X, y):
    return Offset(y.mean())


def logits(X, y):
    return lambda rows: 3 * rows["hour"]


def one_for_all(X, y):
    return lambda rows: 0.5


def two_columns(X, y):
    return lambda rows: rows[["wind", "hour"]].to_numpy()


def unbalanced(X, y):
    return lambda rows: np.full((len(rows), 3), 0.5)


def words(X, y):
    return lambda rows: ["likely"] * len(rows)


def holding_a_lock(X, y):
    lock = threading.Lock()
    return lambda rows: np.full(len(rows), 0.5) if lock else None


@pytest.fixture
def fit(training, make_training, inline, tracker, request_features, folder):
    def run(function, task="binary", compute=inline):
        model = ow.model(features=[], label=None, task=task)(function)
        chosen = Candidate(model=model.name, parameters=model.parameters, origin="defaults")
        return train(
            model, training if task == "binary" else make_training(task), chosen, request_features,
            compute=compute, tracker=tracker, folder=folder, commit=None, run="r1",
        )  # fmt: skip

    return run


def test_a_closure_is_the_same_model_in_two_processes(fit, folder):
    first = fit(windy, compute=LocalCompute())
    before = {p.name: p.read_bytes() for p in Path(first.path).iterdir()}
    for record in folder.glob("*.json"):
        record.unlink()
    again = fit(windy, compute=LocalCompute())
    assert {p.name: p.read_bytes() for p in Path(again.path).iterdir()} == before
    golden = json.loads(before["golden.json"])
    kept = cloudpickle.loads(before["model.pkl"])
    rows = pd.DataFrame(golden["features"], columns=["wind", "hour"], dtype=float)
    assert kept.predict_proba(rows)[:, 1].tolist() == golden["predictions"]
    assert golden["tolerance"] == 1e-9


def test_a_partial_gives_the_sorted_classes_probabilities(fit):
    trained = fit(constant, "multiclass")
    plan = json.loads((Path(trained.path) / "plan.json").read_text())
    golden = json.loads((Path(trained.path) / "golden.json").read_text())
    assert plan["classes"] == CLASSES
    assert np.array(golden["predictions"]).shape == (32, 3)


def test_an_object_to_call_gives_values(fit):
    trained = fit(shifted, "regression")
    golden = json.loads((Path(trained.path) / "golden.json").read_text())
    assert np.array(golden["predictions"]).shape == (32,)


@pytest.mark.parametrize(
    ("function", "task", "said"),
    [
        (logits, "binary", r"answered held-out row \d+ with \d+"),
        (one_for_all, "binary", r"rows with shape \(\), not \(n,\) or \(n, 2\)"),
        (one_for_all, "regression", r"rows with shape \(\), not \(n,\)"),
        (two_columns, "multiclass", r"rows with shape \(\d+, 2\), not \(n, 3\)"),
        (unbalanced, "multiclass", r"answered held-out row 1 with \[0.5, 0.5, 0.5\]"),
        (words, "binary", "answered with list, which holds no numbers"),
        (holding_a_lock, "binary", "cannot be kept: .*lock"),
    ],
)
def test_what_is_no_prediction_is_refused_where_the_model_is_declared(
    fit, function, task, said, folder
):
    with pytest.raises(DeclarationError, match=said) as caught:
        fit(function, task)
    assert caught.value.location.line == function.__code__.co_firstlineno
    assert not folder.exists()


def test_classes_of_its_own_are_the_function_s():
    def likely(X):
        return X

    likely.classes_ = ["b", "a"]
    found = estimator_of(likely, pd.Series(["a", "b"]), "multiclass")
    assert found.classes_.tolist() == ["b", "a"]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=5), st.sampled_from(["n", "n1", "n2"]))
def test_one_column_or_two_say_the_same(chances, shape):
    p = np.array(chances)
    forms = {"n": p, "n1": p[:, None], "n2": np.column_stack((1 - p, p))}
    answered = PythonFunction(lambda _: forms[shape], [0, 1]).predict_proba(chances)
    assert answered.tolist() == forms["n2"].tolist()
    with pytest.raises(AnswerError, match="with shape"):
        PythonFunction(lambda _: forms[shape], [0, 1]).predict_proba([*chances, 0.5])
