"""An ONNX form is kept only where it answers what the estimator answers."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
from lightgbm import LGBMClassifier, LGBMRegressor
from sklearn.compose import make_column_transformer
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from xgboost import XGBClassifier, XGBRegressor

import onward as ow
from onward.core.errors import DeclarationError, Location
from onward.core.records import Candidate
from onward.stages.train.function import PythonFunction
from onward.stages.train.onnx_form import onnx_form
from onward.stages.train.step import train

cloudpickle.register_pickle_by_value(sys.modules[__name__])

HERE = Location("pipeline.py", 7)


def data(task: str, *, whole: bool = False, text: bool = False) -> tuple[pd.DataFrame, np.ndarray]:
    chance = np.random.default_rng(3)
    x = pd.DataFrame(chance.normal(size=(400, 4)), columns=["a", "b", "c", "d"])
    score = x["a"] - 2 * x["b"].abs() + chance.normal(size=400) / 4
    if not whole:
        x.iloc[::7, 2] = np.nan
    if text:
        x["place"] = pd.Series(chance.choice(["north", "south"], 400), dtype="str")
        x.loc[::9, "place"] = None
    if task == "regression":
        return x, score.to_numpy()
    return x, np.digitize(score, [-1.0] if task == "binary" else [-2.0, -0.5])


def encoded(estimator: Any) -> Any:
    words = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    return make_pipeline(
        make_column_transformer((words, ["place"]), remainder="passthrough"), estimator
    )


TREES = {"max_iter": 8, "min_samples_leaf": 5, "random_state": 0}
LINEAR = make_pipeline(StandardScaler(), LogisticRegression())
BOOSTED = {"n_estimators": 8, "n_jobs": 1}


@pytest.mark.parametrize(
    ("estimator", "task", "rows", "gaps"),
    [
        (HistGradientBoostingClassifier(**TREES), "binary", {}, "taken"),
        (HistGradientBoostingClassifier(**TREES), "multiclass", {}, "taken"),
        (HistGradientBoostingRegressor(**TREES), "regression", {}, "taken"),
        (encoded(HistGradientBoostingClassifier(**TREES)), "binary", {"text": True}, "taken"),
        (RandomForestClassifier(8, random_state=0), "binary", {"whole": True}, "left"),
        (GradientBoostingClassifier(n_estimators=8), "binary", {"whole": True}, "left"),
        (LINEAR, "multiclass", {"whole": True}, "left"),
        (Ridge(), "regression", {"whole": True}, "left"),
        (LGBMClassifier(verbose=-1, **BOOSTED), "binary", {}, "taken"),
        (LGBMRegressor(verbose=-1, **BOOSTED), "regression", {}, "taken"),
        (XGBClassifier(**BOOSTED), "multiclass", {}, "taken"),
        (XGBRegressor(**BOOSTED), "regression", {}, "taken"),
    ],
    ids=lambda value: type(value).__name__ if hasattr(value, "fit") else None,
)  # fmt: skip
def test_what_is_converted_answers_the_same_and_is_the_same_again(estimator, task, rows, gaps):
    x, y = data(task, **rows)
    estimator.fit(x, y)
    content = onnx_form(estimator, x, task, "m", HERE)
    assert content == onnx_form(estimator, x, task, "m", HERE)
    [prop] = onnx.load_from_string(content).metadata_props
    assert (prop.key, prop.value) == ("onward.gaps", gaps)
    assert onnxruntime.InferenceSession(content).get_outputs()


def test_values_that_float32_does_not_tell_apart_are_found():
    x = pd.DataFrame({"a": 2.0**25 + np.arange(400.0), "b": np.zeros(400)})
    trees = HistGradientBoostingRegressor(**TREES).fit(
        x, np.arange(400) % 2 * 10.0 + np.arange(400)
    )
    said = r"differs in \d+ of 400 whole held-out rows, by up to \d.*\(row \d+: \S+ for \S+\)"
    with pytest.raises(DeclarationError, match=said) as refused:
        onnx_form(trees, x, "regression", "m", HERE)
    assert refused.value.location == HERE
    assert "leave runtime='onnx' out" in refused.value.next_step


def test_a_conversion_that_answers_otherwise_is_refused():
    x, y = data("binary")
    trees = HistGradientBoostingClassifier(**TREES).fit(x, y)
    trees.predict_proba = lambda rows: np.tile([0.25, 0.75], (len(rows), 1))
    with pytest.raises(DeclarationError, match=r"differs in \d+ of \d+ whole held-out rows"):
        onnx_form(trees, x, "binary", "m", HERE)


class Own(Ridge):
    """Of a kind that no converter knows."""


@pytest.mark.parametrize(
    ("estimator", "said"),
    [
        (PythonFunction(lambda x: np.zeros(len(x)), None), "nothing converts a function"),
        (Own().fit(*data("regression", whole=True)), "has no ONNX form .*Own"),
        (
            make_pipeline(StandardScaler(), RandomForestRegressor(8)).fit(*data("regression")),
            "a tree splits between what is missing and what is not",
        ),
    ],
)
def test_what_has_no_onnx_form_is_refused(estimator, said):
    with pytest.raises(DeclarationError, match=said):
        onnx_form(estimator, data("regression", whole=True)[0], "regression", "m", HERE)


@pytest.mark.parametrize("library", ["onnxruntime", "skl2onnx.common.data_types"])
def test_what_is_not_installed_is_said(monkeypatch, library):
    monkeypatch.setitem(sys.modules, library, None)
    x, y = data("binary")
    trees = HistGradientBoostingClassifier(**TREES).fit(x, y)
    with pytest.raises(DeclarationError, match=f"{library} is not installed") as refused:
        onnx_form(trees, x, "binary", "m", HERE)
    assert refused.value.next_step == "pip install 'onward[onnx]'"


def trees(X, y):
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(max_iter=8, random_state=0).fit(X, y)


def test_the_form_stands_beside_the_estimator(training, inline, tracker, request_features, folder):
    def fit(runtime):
        model = ow.model(features=[], label=None, task="binary", runtime=runtime)(trees)
        chosen = Candidate(model="trees", parameters={}, origin="defaults")
        return train(
            model, training, chosen, request_features, compute=inline, tracker=tracker,
            folder=folder, commit=None, run="r1",
        )  # fmt: skip

    plain, converted = fit(None), fit("onnx")
    assert plain.id != converted.id
    assert not (Path(plain.path) / "model.onnx").exists()
    assert (Path(converted.path) / "model.onnx").exists()
    golden = json.loads((Path(converted.path) / "golden.json").read_text())
    assert golden["tolerance"] == 1e-5
    assert "onnxruntime" in (Path(converted.path) / "requirements.txt").read_text()
