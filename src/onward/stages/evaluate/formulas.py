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

    The Mann-Whitney form of the area (Hanley and McNeil 1982, Radiology 143, section III). Where
    each positive stands among the sorted negatives is found once; a weighting then takes one
    cumulative sum over the negatives.
    """
    up, down = _by_score(y, score)
    lower = np.searchsorted(score[down], score[up], side="left")
    not_higher = np.searchsorted(score[down], score[up], side="right")

    def weighted(weights: np.ndarray) -> float:
        below = _cumulated(weights[down])
        of_up = weights[up]
        wins = _sum(of_up, below[lower] + below[not_higher]) / 2
        return _ratio(wins, float(of_up.sum() * below[-1]))

    return weighted


def average_precision(y: np.ndarray, score: np.ndarray) -> Weighted:
    """The sum of precision over the steps of recall, AP = Σ (Rₙ - Rₙ₋₁) Pₙ, without interpolation.

    Zhu 2004, "Recall, precision and average precision"; as scikit-learn has it. Each positive
    row is one such step, at the precision of selecting every row that scores no lower.
    """
    up, down = _by_score(y, -score)
    hits = np.searchsorted(-score[up], -score[up], side="right")
    misses = np.searchsorted(-score[down], -score[up], side="right")

    def weighted(weights: np.ndarray) -> float:
        of_up = weights[up]
        true, false = _cumulated(of_up)[hits], _cumulated(weights[down])[misses]
        precision = true / np.maximum(true + false, _EPSILON)
        return _ratio(_sum(of_up, precision), float(of_up.sum()))

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
    true = (classes[:, None] == y).astype(np.float64)
    said = (classes[:, None] == chosen).astype(np.float64)
    twice_both, either = 2 * true * said, true + said

    def weighted(weights: np.ndarray) -> float:
        f1 = [
            _ratio(_sum(weights, b), _sum(weights, e))
            for b, e in zip(twice_both, either, strict=True)
        ]
        return float(np.nanmean(f1))

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
        mean = _ratio(_sum(weights, centred), float(weights.sum()))
        spread = _sum(weights, (centred - mean) ** 2)
        return 1 - _ratio(_sum(weights, errors), spread)

    return weighted


def _by_score(y: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the indices of the positive and of the other rows, each by ascending score."""
    order = np.argsort(score, kind="stable")
    positive = y[order] == 1
    return order[positive], order[~positive]


def _cumulated(weights: np.ndarray) -> np.ndarray:
    """Return the sums of the first 0, 1, …, n weights, shape (n + 1,)."""
    return np.concatenate([[0.0], np.cumsum(weights)])


def _sum(weights: np.ndarray, values: np.ndarray) -> float:
    """Return Σ wᵢ vᵢ, without BLAS: for so few numbers its threads wait longer than they work."""
    return float(np.einsum("i,i->", weights, values))


def _mean(values: np.ndarray) -> Weighted:
    return lambda weights: _ratio(_sum(weights, values), float(weights.sum()))


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
