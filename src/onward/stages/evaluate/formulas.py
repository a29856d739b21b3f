"""The formulas, each prepared once for its rows and then evaluated under many weightings.

A bootstrap resample is a weighting of the rows by how often each was drawn, so nothing is copied
or sorted again per resample. Each function takes the truth and the predictions of n rows and
returns a function of weights, shape (n,), that may be zero.
"""

from __future__ import annotations

import numpy as np

from onward.stages.evaluate.metrics import Weighted

_EPSILON = np.finfo(np.float64).eps


def roc_auc(y: np.ndarray, score: np.ndarray) -> Weighted:
    """The probability that a positive row scores above a negative one, ties counting half.

    The Mann-Whitney form of the area (Hanley and McNeil 1982, Radiology 143, section III): with
    the rows sorted once, one pass sums the weight of the negatives below each positive.
    """
    order, ties = _sorted(score)
    positive = (y[order] == 1).astype(np.float64)

    def weighted(weights: np.ndarray) -> float:
        of_rows = weights[order]
        up = np.add.reduceat(of_rows * positive, ties)
        down = np.add.reduceat(of_rows, ties) - up
        below = np.cumsum(down) - down / 2
        return _ratio(float(up @ below), float(up.sum() * down.sum()))

    return weighted


def average_precision(y: np.ndarray, score: np.ndarray) -> Weighted:
    """The sum of precision over the steps of recall, AP = Σ (Rₙ - Rₙ₋₁) Pₙ, without interpolation.

    Zhu 2004, "Recall, precision and average precision"; as scikit-learn has it.
    """
    order, ties = _sorted(-score)
    positive = (y[order] == 1).astype(np.float64)

    def weighted(weights: np.ndarray) -> float:
        of_rows = weights[order]
        up = np.add.reduceat(of_rows * positive, ties)
        selected = np.cumsum(np.add.reduceat(of_rows, ties))
        precision = np.cumsum(up) / np.maximum(selected, _EPSILON)
        return _ratio(float(up @ precision), float(up.sum()))

    return weighted


def log_loss(y: np.ndarray, probabilities: np.ndarray) -> Weighted:
    """The mean of -log P(true class), in nats; a probability of 0 counts as the smallest float."""
    return _mean(-np.log(np.clip(_of_truth(y, probabilities), _EPSILON, 1.0)))


def brier(y: np.ndarray, probability: np.ndarray) -> Weighted:
    """The mean of (P(class 1) - y)² (Brier 1950, Monthly Weather Review 78)."""
    return _mean((probability - y) ** 2)


def accuracy(y: np.ndarray, probabilities: np.ndarray) -> Weighted:
    """The share of rows whose most probable class is the true one (from 0.5 on, if binary)."""
    return _mean((_choices(probabilities) == y).astype(np.float64))


def macro_f1(y: np.ndarray, probabilities: np.ndarray) -> Weighted:
    """The mean over classes of F1 = 2 TP / (2 TP + FP + FN); classes that occur in neither the
    truth nor the predictions of the weighted rows do not count.
    """
    chosen = _choices(probabilities)
    classes = np.unique(np.concatenate([y, chosen]))
    true = (y[:, None] == classes).astype(np.float64)
    said = (chosen[:, None] == classes).astype(np.float64)
    both = true * said

    def weighted(weights: np.ndarray) -> float:
        either = weights @ true + weights @ said
        occurs = either > 0
        return _ratio(float((2 * (weights @ both)[occurs] / either[occurs]).sum()), occurs.sum())

    return weighted


def rmse(y: np.ndarray, values: np.ndarray) -> Weighted:
    """The square root of the mean squared error, in the target's unit."""
    mean = _mean((values - y) ** 2)
    return lambda weights: float(np.sqrt(mean(weights)))


def mae(y: np.ndarray, values: np.ndarray) -> Weighted:
    """The mean absolute error, in the target's unit."""
    return _mean(np.abs(values - y))


def r2(y: np.ndarray, values: np.ndarray) -> Weighted:
    """1 - Σ(ŷ - y)² / Σ(y - ȳ)²: the share of the target's variance that is explained."""
    errors = (values - y) ** 2
    centred = y - y.mean()

    def weighted(weights: np.ndarray) -> float:
        mean = _ratio(float(weights @ centred), float(weights.sum()))
        spread = float(weights @ (centred - mean) ** 2)
        return 1 - _ratio(float(weights @ errors), spread)

    return weighted


def _sorted(score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the ascending order of the scores, and where in it each group of ties begins."""
    order = np.argsort(score, kind="stable")
    ascending = score[order]
    return order, np.flatnonzero(np.append(True, ascending[1:] != ascending[:-1]))


def _mean(values: np.ndarray) -> Weighted:
    return lambda weights: _ratio(float(weights @ values), float(weights.sum()))


def _ratio(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator else float("nan")


def _choices(probabilities: np.ndarray) -> np.ndarray:
    """Return the chosen class's index, shape (n,)."""
    if probabilities.ndim == 1:
        return (probabilities >= 0.5).astype(np.int64)
    best: np.ndarray = probabilities.argmax(axis=1)
    return best


def _of_truth(y: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return the probability that each row's true class was given; 0 for a class not known."""
    if probabilities.ndim == 1:
        return np.where(y == 1, probabilities, 1 - probabilities)
    known = y < probabilities.shape[1]
    of_known = probabilities[np.arange(len(y)), np.where(known, y, 0)]
    return np.where(known, of_known, 0.0)
