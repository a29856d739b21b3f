"""The bootstrap: how sure a figure is, by drawing the held-out rows again and again.

Percentile intervals (Efron and Tibshirani 1993, "An Introduction to the Bootstrap", chapter 13).
Measures that are resampled together see the same draws, which is what makes a comparison paired.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, TypeVar

import numpy as np

from onward.stages.evaluate.metrics import Weighted

K = TypeVar("K")

RESAMPLES: Final = 300
CONFIDENCE: Final = 0.95


def resampled(
    measures: Mapping[K, Weighted], rows: int, *, resamples: int = RESAMPLES, seed: int = 0
) -> dict[K, np.ndarray]:
    """Return each measure's value in each resample of the rows, shape (resamples,).

    The seed fixes the draws: a measure resampled later, alone, is paired with the others too.
    """
    values = {key: np.empty(resamples) for key in measures}
    for draw, weights in enumerate(_weightings(rows, resamples, seed)):
        for key, measure in measures.items():
            values[key][draw] = measure(weights)
    return values


def interval(draws: np.ndarray, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return the percentile interval; resamples that do not define the measure are left out."""
    tail = (1 - confidence) / 2
    low, high = np.nanquantile(draws, [tail, 1 - tail])
    return float(low), float(high)


def lower_bound(draws: np.ndarray, confidence: float) -> float:
    """Return the one-sided percentile bound that `confidence` of the resamples exceed."""
    return float(np.nanquantile(draws, 1 - confidence))


def _weightings(rows: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Yield how often each row was drawn when as many rows are drawn with replacement."""
    random = np.random.default_rng(seed)
    for _ in range(resamples):
        yield np.bincount(random.integers(0, rows, rows), minlength=rows).astype(np.float64)
