"""Ways to call a fitted model, by what it is: a matrix of numbers in, figures out, no DataFrame.

A wrapper spends more on a row than the model in it does: it validates, copies names, looks for
threads. Each way here leaves that out, and is taken only where it gives what a DataFrame gives on
the golden rows.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from onward.core.declarations import Task

if TYPE_CHECKING:
    import numpy as np

Figures: TypeAlias = "Callable[[np.ndarray], np.ndarray]"
"""From (n, n_features) float64 to (n, width): P(class 1), the value, or class probabilities."""

Texts: TypeAlias = Sequence[Sequence[str | None]]
"""Each row's text features; a row of none where a model has none."""

Call: TypeAlias = "Callable[[np.ndarray, Texts], np.ndarray]"
"""The same as `Figures` from numbers, NaN in the places of texts, and texts."""


def by_matrix(estimator: Any, task: Task) -> Iterator[tuple[str, Figures]]:
    """Yield the names of ways to call an estimator with a matrix, and the ways, fastest first."""
    library = getattr(estimator, "library", None) or type(estimator).__module__.partition(".")[0]
    if library == "lightgbm":
        yield "lightgbm", _lightgbm(estimator)
    if library == "xgboost":
        yield "xgboost", _xgboost(estimator)
    if task == "binary" and (weights := _logistic(estimator)) is not None:
        yield "linear", _linear(*weights)
    if library == "torch":
        yield "torch", _torch(estimator, task)
    yield "matrix", _nameless(estimator, task)


def figures_of(estimator: Any, task: Task) -> Callable[[Any], np.ndarray]:
    """Return what asks an estimator in scikit-learn's words, for a matrix or a DataFrame."""
    import numpy as np

    if task == "binary":
        proba = estimator.predict_proba
        return lambda rows: np.asarray(proba(rows), dtype=np.float64)[:, 1:2]
    if task == "multiclass":
        proba = estimator.predict_proba
        return lambda rows: np.asarray(proba(rows), dtype=np.float64)
    predict = estimator.predict
    return lambda rows: np.asarray(predict(rows), dtype=np.float64).reshape(-1, 1)


def _lightgbm(estimator: Any) -> Figures:
    """Ask the booster: one thread, as a tick's rows are few."""
    predict = estimator.booster_.predict
    best = estimator.best_iteration_ or None

    def call(numbers: np.ndarray) -> np.ndarray:
        found: np.ndarray = predict(
            numbers, num_iteration=best, num_threads=1, predict_disable_shape_check=True
        )
        return found.reshape(len(numbers), -1)

    return call


def _xgboost(estimator: Any) -> Figures:
    """Ask the booster in place, on one thread from now on: no DMatrix is made."""
    import numpy as np

    booster = estimator.get_booster()
    booster.set_param({"nthread": 1})
    rounds = getattr(estimator, "best_iteration", None) if estimator.early_stopping_rounds else None
    until = (0, 0) if rounds is None else (0, rounds + 1)
    predict = booster.inplace_predict

    def call(numbers: np.ndarray) -> np.ndarray:
        found = predict(numbers, iteration_range=until, validate_features=False)
        return np.asarray(found, dtype=np.float64).reshape(len(numbers), -1)

    return call


def _torch(estimator: Any, task: Task) -> Figures:
    """Ask the module on one thread, which is set for the whole process: others wait for them."""
    import torch

    torch.set_num_threads(1)
    return figures_of(estimator, task)


def _logistic(estimator: Any) -> tuple[np.ndarray, float] | None:
    """Return a logistic regression's weights and offset, a scaler's before it among them."""
    scaler, model = None, estimator
    if type(estimator).__name__ == "Pipeline" and len(estimator.steps) == 2:
        scaler, model = (step for _, step in estimator.steps)
    if type(model).__name__ != "LogisticRegression" or len(model.classes_) != 2:
        return None
    weights, offset = model.coef_[0], float(model.intercept_[0])
    if scaler is None:
        return weights, offset
    if type(scaler).__name__ != "StandardScaler" or not (scaler.with_mean and scaler.with_std):
        return None
    weights = weights / scaler.scale_
    return weights, offset - float(scaler.mean_ @ weights)


def _linear(weights: np.ndarray, offset: float) -> Figures:
    """Ask for 1 / (1 + exp(-score)) alone; a missing value is refused, as the estimator does."""
    import numpy as np

    column = np.ascontiguousarray(weights, dtype=np.float64).reshape(-1, 1)

    def call(numbers: np.ndarray) -> np.ndarray:
        score = numbers @ column + offset
        if not np.isfinite(score).all():
            raise ValueError("Input X contains NaN or infinity.")
        with np.errstate(over="ignore"):  # a score below -709 has probability 0
            found: np.ndarray = 1.0 / (1.0 + np.exp(-score))
        return found

    return call


def _nameless(estimator: Any, task: Task) -> Figures:
    """Call without names: on a copy that was never told any, so that none are missed.

    Only estimators are copied, and what lists them: trees and weights are the original's own.
    """
    estimators: dict[int, Any] = {}
    memo: dict[int, Any] = {}
    _sort(estimator, estimators, memo)
    nameless = copy.deepcopy(estimator, memo)  # which takes from the memo what stands in it
    for number in estimators.keys() & memo.keys():  # one may leave others out of its copies
        memo[number].__dict__.pop("feature_names_in_", None)
    return figures_of(nameless, task)


def _sort(value: Any, estimators: dict[int, Any], others: dict[int, Any]) -> None:
    """Sort what a value holds by id: scikit-learn's estimators, and all that is none."""
    if isinstance(value, (list, tuple)):
        inner: Any = value
    elif isinstance(value, type) or not hasattr(value, "get_params"):
        others[id(value)] = value
        return
    elif id(value) in estimators:
        return
    else:
        estimators[id(value)] = value
        inner = value.__dict__.values()
    for each in inner:
        _sort(each, estimators, others)
