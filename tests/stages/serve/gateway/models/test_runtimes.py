"""Ways to call a model without a DataFrame: each gives what the DataFrame's gives, and faster."""

from __future__ import annotations

import inspect
import math
import sys
import threading
import warnings
from pathlib import Path
from typing import Any

import cloudpickle
import lightgbm
import numpy as np
import pandas as pd
import pytest
import trained_models as small
import xgboost
from gateway_site import routes_of, serving
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, StandardScaler

from onward.core.errors import CorruptError
from onward.stages.deploy.step import package
from onward.stages.serve.gateway.models.image import MODEL_FOLDER, unpack
from onward.stages.serve.gateway.models.model import ServedModel, frame_of, load
from onward.stages.serve.gateway.models.runtimes import by_matrix
from onward.stages.train.function import PythonFunction

cloudpickle.register_pickle_by_value(sys.modules[__name__])

NAMES = [f"f{i}" for i in range(6)]
KINDS = {
    "lightgbm": (lightgbm.LGBMClassifier, lightgbm.LGBMRegressor, {"verbose": -1}),
    "xgboost": (xgboost.XGBClassifier, xgboost.XGBRegressor, {}),
}


def data(task: str) -> tuple[pd.DataFrame, np.ndarray]:
    chance = np.random.default_rng(3)
    x = pd.DataFrame(chance.normal(size=(400, len(NAMES))), columns=NAMES)
    x.iloc[::7, 2] = math.nan
    score = x["f0"] - 2 * x["f1"].abs() + chance.normal(size=400) / 4
    if task == "regression":
        return x, score.to_numpy()
    return x, np.digitize(score, [-1.0] if task == "binary" else [-2.0, -0.5])


@pytest.fixture(scope="module", params=[(k, t) for k in KINDS for t in small.TASKS], ids=str)
def fitted(request: pytest.FixtureRequest) -> tuple[str, Any, Any]:
    kind, task = request.param
    classifier, regressor, options = KINDS[kind]
    made = (regressor if task == "regression" else classifier)(
        n_estimators=20, max_depth=3, n_jobs=1, **options
    )
    return kind, made.fit(*data(task)), task


@settings(max_examples=25, deadline=None)
@given(
    rows=st.lists(
        st.lists(
            st.floats(-1e6, 1e6) | st.just(math.nan), min_size=len(NAMES), max_size=len(NAMES)
        ),
        min_size=1,
        max_size=5,
    )
)
def test_the_booster_gives_what_the_wrapper_gives(fitted, rows) -> None:
    kind, estimator, task = fitted
    name, figures = next(by_matrix(estimator, task))
    assert name == kind
    frame = pd.DataFrame(rows, columns=NAMES, dtype="float64")
    expected = estimator.predict(frame) if task == "regression" else estimator.predict_proba(frame)
    if task == "binary":
        expected = expected[:, 1]
    found = figures(np.array(rows, dtype=np.float64))
    assert found == pytest.approx(np.asarray(expected).reshape(len(rows), -1), rel=1e-6, abs=1e-7)


def test_a_missing_value_is_refused_by_a_linear_model_too(tmp_path) -> None:
    model = opened(tmp_path, LogisticRegression(max_iter=1000))
    with pytest.raises(ValueError, match="contains NaN"):
        model.call(np.array([[math.nan] * len(model.plan.columns)]), [])
    far = model.call(np.array([[-1e9, 0, 0, 0, 0], [1e9, 0, 0, 0, 0]]), [])
    assert sorted(far[:, 0].tolist()) == [0.0, 1.0]


def test_early_stopping_holds() -> None:
    x, y = data("binary")
    booster = xgboost.XGBClassifier(n_estimators=60, early_stopping_rounds=2, n_jobs=1)
    booster.fit(x, y, eval_set=[(x.iloc[:50], 1 - y[:50])], verbose=False)
    assert booster.best_iteration < 10
    _, figures = next(by_matrix(booster, "binary"))
    expected = booster.predict_proba(x)[:, 1:]
    assert figures(x.to_numpy()) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("model", "forest_of"),
    [
        (RandomForestClassifier(5, random_state=0), lambda model: model),
        (
            make_pipeline(StandardScaler(), RandomForestClassifier(5, random_state=0)),
            lambda model: model.steps[1][1],
        ),
    ],
    ids=["alone", "in a pipeline"],
)
def test_a_forest_called_without_names_has_its_trees_in_memory_once(model, forest_of) -> None:
    x, y = data("binary")
    x = x.fillna(0.0)
    forest = forest_of(model.fit(x, y))
    forest.busy_ = threading.Lock()  # cannot be copied
    _, figures = next(by_matrix(model, "binary"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of names that are missing
        assert figures(x.to_numpy()) == pytest.approx(model.predict_proba(x)[:, 1:])
    called = forest_of(inspect.getclosurevars(figures).nonlocals["proba"].__self__)
    assert called is not forest
    assert all(
        a.tree_ is b.tree_ for a, b in zip(called.estimators_, forest.estimators_, strict=True)
    )
    assert list(model.feature_names_in_) == NAMES


def test_a_booster_is_in_memory_once() -> None:
    x, y = data("binary")
    model = xgboost.XGBClassifier(n_estimators=3).fit(x, y)
    _, figures = next(by_matrix(model, "binary"))
    called = inspect.getclosurevars(figures).nonlocals["predict"].__self__
    assert called is model.get_booster()
    assert figures(x.to_numpy()) == pytest.approx(model.predict_proba(x)[:, 1:], rel=1e-6)
    assert called.feature_names == NAMES


def opened(folder: Path, estimator: Any, **options: Any) -> ServedModel:
    image = package(small.train(folder / "trained", estimator, **options), folder=folder / "images")
    return load((unpack(image, folder / "unpacked") / MODEL_FOLDER).parent)


@pytest.mark.parametrize(
    ("estimator", "runtime"),
    [
        (lightgbm.LGBMClassifier(n_estimators=5, verbose=-1, min_child_samples=2), "lightgbm"),
        (xgboost.XGBClassifier(n_estimators=5), "xgboost"),
        (LogisticRegression(max_iter=1000), "linear"),
        (make_pipeline(StandardScaler(), LogisticRegression()), "linear"),
        (make_pipeline(MinMaxScaler(), LogisticRegression()), "matrix"),
        (small.Linear(1.0), "matrix"),
    ],
    ids=["lightgbm", "xgboost", "logistic", "scaled", "pipeline", "any Python"],
)
def test_a_model_is_called_by_the_fastest_way_that_agrees(tmp_path, estimator, runtime) -> None:
    assert opened(tmp_path, estimator).runtime == runtime


class Forgetful(small.Linear):
    """Takes a missing value for another one when it is asked without names."""

    def predict_proba(self, X: Any) -> np.ndarray:
        named = isinstance(X, pd.DataFrame)
        return super().predict_proba(np.nan_to_num(np.asarray(X, float), nan=0.0 if named else 9.0))


def by_place(X: Any) -> np.ndarray:
    return small.Linear(1.0).predict_proba(X)[:, 1]


def by_name(X: Any) -> pd.Series:
    return 1 / (1 + np.exp(-X["amount"].fillna(0) / 50))


@pytest.mark.parametrize(("function", "runtime"), [(by_place, "matrix"), (by_name, "frame")])
def test_a_python_function_s_answers_are_each_caller_s_own(tmp_path, function, runtime) -> None:
    model = opened(tmp_path, PythonFunction(function, [0, 1]))
    assert model.runtime == runtime
    batched_is_alone(model)


def test_a_python_function_answers_rows_tensors_and_why_it_is_not_explained(tmp_path) -> None:
    trained = small.train(tmp_path / "trained", PythonFunction(by_name, [0, 1]))
    image = package(trained, folder=tmp_path / "images")
    with serving(tmp_path / "site", routes_of((image, 100.0))) as site:
        [row] = small.rows(1)
        [answer] = site.predict([row]).json()["predictions"]
        assert answer["output"] == pytest.approx(1 / (1 + math.exp(-row["amount"] / 50)))
        inputs = [{"name": "x", "shape": [1, 5], "datatype": "FP64", "data": [0, 0, 50, 0, 0]}]
        answer = site.client.post("/v2/models/returns/infer", json={"inputs": inputs}).json()
        found = {output["name"]: output["data"] for output in answer["outputs"]}
        assert found["probability"] == pytest.approx([1 / (1 + math.exp(-1))])
        refused = site.client.post("/v2/models/returns/explain", json={"rows": [row]})
        assert refused.status_code == 501
        assert "it is a Python function, known by its answers alone" in refused.json()["error"]


def trees(**options: Any) -> HistGradientBoostingClassifier:
    return HistGradientBoostingClassifier(
        max_iter=5, min_samples_leaf=3, early_stopping=False, **options
    )


def behind_words() -> Any:
    words = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    return make_pipeline(
        make_column_transformer((words, ["part_of_day"]), remainder="passthrough"), trees()
    )


ONNX = {
    "trees": trees,
    "forest": lambda: RandomForestClassifier(8, random_state=0),  # leaves gaps to the estimator
    "lightgbm": lambda: lightgbm.LGBMClassifier(n_estimators=5, verbose=-1, min_child_samples=2),
    "xgboost": lambda: xgboost.XGBClassifier(n_estimators=5),
}


@pytest.mark.parametrize("kind", ONNX)
def test_an_onnx_form_answers_what_the_estimator_does(tmp_path, kind) -> None:
    model = opened(tmp_path, ONNX[kind](), runtime="onnx")
    assert model.runtime == "onnx"
    batched_is_alone(model, 1e-6)
    rows = np.random.default_rng(1).uniform(0, 50, (200, 5)).astype(np.float32).astype(float)
    rows[::3, 1] = math.nan
    frame = pd.DataFrame(rows, columns=[c.name for c in model.plan.columns])
    expected = model.estimator.predict_proba(frame)[:, 1:]
    assert model.call(rows, [()] * 200) == pytest.approx(expected, rel=1e-5, abs=1e-5)


def test_an_onnx_form_takes_text_and_leaves_what_is_missing_to_who_refuses_it(tmp_path) -> None:
    model = opened(tmp_path / "text", behind_words(), plan=small.TEXT_PLAN, runtime="onnx")
    numbers = np.full((4, 6), math.nan)
    numbers[:, :5] = np.random.default_rng(1).uniform(0, 50, (4, 5))
    numbers[3, 2] = math.nan
    texts = [("am",), ("pm",), (None,), ("night",)]
    frame = frame_of([c.name for c in model.plan.columns], model.strings, numbers, texts)
    expected = model.estimator.predict_proba(frame)[:, 1:]
    assert model.call(numbers, texts) == pytest.approx(expected, rel=1e-5, abs=1e-5)
    linear = make_pipeline(MinMaxScaler(), LogisticRegression())
    refusing = opened(tmp_path / "linear", linear, runtime="onnx")
    assert refusing.call(np.ones((1, 5)), [()]).shape == (1, 1)
    with pytest.raises(ValueError, match="contains NaN"):
        refusing.call(np.array([[1, 1, 1, 1, math.nan], [1.0] * 5]), [()] * 2)


def test_without_onnx_runtime_a_converted_model_is_not_loaded(tmp_path, monkeypatch) -> None:
    image = package(
        small.train(tmp_path / "trained", trees(), runtime="onnx"), folder=tmp_path / "images"
    )
    folder = (unpack(image, tmp_path / "unpacked") / MODEL_FOLDER).parent
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(CorruptError, match="ONNX form cannot be loaded") as refused:
        load(folder)
    assert "onward[onnx]" in refused.value.next_step


def batched_is_alone(model: ServedModel, tolerance: float = 1e-9) -> None:
    """Whoever's rows stand beside them, answers are the same."""
    width = len(model.plan.columns)
    amounts = st.floats(0, 1e3, width=32) | st.just(math.nan)

    @settings(max_examples=25, deadline=None)
    @given(st.lists(st.lists(amounts, min_size=width, max_size=width), min_size=2, max_size=7))
    def holds(rows: list[list[float]]) -> None:
        numbers = np.array(rows)
        together = model.call(numbers, [()] * len(rows))
        alone = np.concatenate([model.call(row[None], [()]) for row in numbers])
        assert together == pytest.approx(alone, rel=tolerance, abs=tolerance, nan_ok=True)

    holds()


def test_a_way_that_differs_where_a_value_is_missing_is_not_taken(tmp_path) -> None:
    assert opened(tmp_path, Forgetful(1.0)).runtime == "frame"
