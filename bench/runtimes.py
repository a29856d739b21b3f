"""A model's call in the ways that the gateway has: CPU for one row and for 64, on one thread.

Ours is the way that is served (``onnx``: the same model's ONNX form), the limit the DataFrame.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec
from statistics import median
from typing import Any

import numpy as np
import pandas as pd

from bench.report import Row
from onward.stages.serve.gateway.models.onnx_session import by_session
from onward.stages.serve.gateway.models.runtimes import by_matrix, figures_of
from onward.stages.train.onnx_form import onnx_form
from onward.stages.train.returned import estimator_of

NAMES = [f"f{i}" for i in range(20)]
BATCHES = (1, 64)


def run(quick: bool) -> Sequence[Row]:
    """Return CPU microseconds of a call, for each model, way and size of batch."""
    import lightgbm
    import xgboost
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    chance = np.random.default_rng(0)
    x = pd.DataFrame(chance.normal(size=(2_000, len(NAMES))), columns=NAMES)
    y = pd.Series((x["f0"] - x["f1"].abs() + chance.normal(size=len(x)) / 2 > -1).astype(int))
    trees = 10 if quick else 100
    made = {
        "logistic regression": LogisticRegression(),
        "histogram gradient boosting": HistGradientBoostingClassifier(max_iter=trees),
        "random forest": RandomForestClassifier(trees, max_depth=8, n_jobs=1),
        "LightGBM": lightgbm.LGBMClassifier(n_estimators=trees, n_jobs=1, verbose=-1),
        "XGBoost": xgboost.XGBClassifier(n_estimators=trees, n_jobs=1),
    }
    fitted = {name: model.fit(x, y) for name, model in made.items()}
    if find_spec("torch") is not None:
        fitted["PyTorch, 20 x 64 x 64 x 1"] = _network(y)
    rows = []
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, model in fitted.items():
            rows += _rows(name, model, x, 20 if quick else 400)
    return rows


def _network(y: pd.Series) -> Any:
    import torch

    relu, linear = torch.nn.ReLU(), torch.nn.Linear
    layers = (linear(len(NAMES), 64), relu, linear(64, 64), relu, linear(64, 1), torch.nn.Sigmoid())
    return estimator_of(torch.nn.Sequential(*layers), y, "binary")


def _rows(name: str, model: Any, x: pd.DataFrame, times: int) -> list[Row]:
    frame = figures_of(model, "binary")
    served, figures = next(by_matrix(model, "binary"))
    form = onnx_form(model, x, "binary", name, None)
    session = by_session(form, NAMES, (), 1, lambda numbers, _: figures(numbers))
    ways = {served: figures, "onnx": lambda numbers: session(numbers, ())}
    found = []
    for n in BATCHES:
        numbers = x.to_numpy()[:n].copy()
        slow = _cost(partial(_framed, frame, numbers), times)
        for way, call in ways.items():
            ours = _cost(partial(call, numbers), times)
            found.append(
                Row(
                    work=f"{name}, {n} rows, {way}", ours=ours, limit=slow, ratio=ours / slow,
                    target="", unit="us CPU", note="limit: the DataFrame", against="DataFrame",
                )
            )  # fmt: skip
    return found


def _framed(frame: Callable[[Any], np.ndarray], numbers: np.ndarray) -> np.ndarray:
    return frame(pd.DataFrame(numbers, columns=NAMES))


def _cost(call: Callable[[], Any], times: int) -> float:
    """Return the median of CPU microseconds of a call, over rounds of ten, after a warm-up."""
    for _ in range(5):
        call()
    found = []
    for _ in range(max(times // 10, 2)):
        begin = time.process_time_ns()
        for _ in range(10):
            call()
        found.append((time.process_time_ns() - begin) / 10_000)
    return median(found)
