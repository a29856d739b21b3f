from __future__ import annotations

import numpy as np
import pytest

from onward.stages.evaluate.bootstrap import interval, lower_bound, resampled
from onward.stages.evaluate.metrics import metrics_of


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    truth, covered, studies = np.sqrt(2 / np.pi), 0, 200  # E|N(0, 1)|
    for study in range(studies):
        errors = rng.normal(size=120)
        mae = metrics_of("regression")["mae"].of(np.zeros(120), errors)
        low, high = interval(resampled({0: mae}, 120, resamples=200, seed=study)[0])
        covered += low <= truth <= high
    assert 0.89 <= covered / studies <= 0.99


def test_measures_see_the_same_draws_together_or_apart():
    y, p = np.array([0, 1, 0, 1, 1, 0] * 20), np.linspace(0, 1, 120)
    auc = metrics_of("binary")["roc_auc"].of(y, p)
    together = resampled({"a": auc, "b": auc}, 120)
    assert together["a"].tolist() == together["b"].tolist() == resampled({0: auc}, 120)[0].tolist()


def test_draws_that_define_nothing_are_left_out():
    draws = np.array([np.nan, 1.0, 2.0, 3.0, np.nan])
    assert interval(draws, 0.5) == (1.5, 2.5)
    assert lower_bound(draws, 0.75) == pytest.approx(1.5)
