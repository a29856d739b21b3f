"""Anytime-valid statistics, against simulations with an eye on them all the time."""

from __future__ import annotations

import math

import numpy as np
import pytest

from onward.stages.serve.release.sequences import (
    Arm,
    difference,
    ratio_evidence,
    relative,
    sample,
    share,
)

ALPHA = 0.05


def looks(chance, n: int, champion: float, candidate: float):
    """Yield (candidate, champion) arms of yes/no values, a look every 100 requests."""
    ups = [chance.random(n) < rate for rate in (candidate, champion)]
    for end in range(100, n + 1, 100):
        yield share(ups[0][:end]), share(ups[1][:end])


def ever_above(interval_of, pairs, limit: float) -> int | None:
    for look, pair in enumerate(pairs):
        if interval_of(pair).low > limit:
            return look
    return None


def interval(pair, alpha: float = ALPHA):
    found = difference([pair], alpha=alpha, tuned_for=500)
    assert found is not None
    return found


def test_equal_arms_are_seldom_called_different_however_often_one_looks():
    """At 5 % errors, peeking 50 times: a fixed test would call a third of these."""
    chance = np.random.default_rng(1)
    runs = 400
    wrong = sum(
        any(not i.low <= 0 <= i.high for i in map(interval, looks(chance, 5_000, 0.05, 0.05)))
        for _ in range(runs)
    )
    assert wrong / runs <= ALPHA


def test_a_clear_rise_is_found_and_the_truth_is_covered():
    chance = np.random.default_rng(2)
    found = [ever_above(interval, looks(chance, 5_000, 0.05, 0.10), 0.0) for _ in range(100)]
    assert all(look is not None for look in found)
    covered = [
        all(i.low <= 0.05 <= i.high for i in map(interval, looks(chance, 3_000, 0.05, 0.10)))
        for _ in range(200)
    ]
    assert np.mean(covered) >= 1 - ALPHA


def test_skewed_values_are_covered_too():
    chance = np.random.default_rng(3)
    runs, wrong = 200, 0
    for _ in range(runs):
        a, b = chance.lognormal(0, 1, (2, 4_000))
        ends = range(200, 4_001, 100)
        arms = (relative(sample(a[:end]), sample(b[:end])) for end in ends)
        wrong += any(not i.low <= 0 <= i.high for i in map(interval, arms))
    assert wrong / runs <= ALPHA


def test_an_arm_that_has_not_failed_is_not_thereby_perfect():
    none = share(np.zeros(100, dtype=bool))
    found = interval((none, none))
    assert found.estimate == 0
    assert found.low < -0.01 < 0.01 < found.high


def test_strata_keep_a_change_of_shares_from_faking_a_difference():
    """Traffic gets worse while the candidate's share grows: pooled, the candidate looks bad."""
    strata = [
        (Arm(50, 0.05, 0.05), Arm(950, 0.05, 0.05)),
        (Arm(500, 0.20, 0.16), Arm(500, 0.20, 0.16)),
    ]
    found = difference(strata, alpha=ALPHA, tuned_for=500)
    assert found is not None
    assert found.estimate == pytest.approx(0, abs=1e-12)
    assert (found.candidate_n, found.champion_n) == (550, 1_450)
    assert difference([], alpha=ALPHA, tuned_for=500) is None


def test_the_interval_narrows_with_data_and_widens_with_confidence():
    widths = [
        interval((Arm(n, 0.1, 0.09), Arm(n, 0.1, 0.09)), alpha).high - 0.0
        for n, alpha in ((100, 0.05), (1_000, 0.05), (10_000, 0.05), (10_000, 0.01))
    ]
    assert widths[0] > widths[1] > widths[2] < widths[3]


def test_relative_is_the_ratio_of_means():
    found = interval(relative(Arm(500, 30.0, 4.0), Arm(500, 20.0, 4.0)))
    assert found.estimate == pytest.approx(0.5)
    assert 0.4 < found.low < 0.5 < found.high < 0.6


def test_the_ratio_check_seldom_errs_and_finds_a_mismatch():
    chance = np.random.default_rng(4)
    limit = -math.log(0.01)
    wrong = 0
    for _ in range(400):
        hits = np.cumsum(chance.random(5_000) < 0.05)
        wrong += any(
            ratio_evidence([(int(hits[n - 1]), n - int(hits[n - 1]), 0.05)]) > limit
            for n in range(50, 5_001, 50)
        )
    assert wrong / 400 <= 0.01 + 0.005
    assert ratio_evidence([(600, 4_400, 0.1)]) > limit
    assert ratio_evidence([(500, 4_500, 0.1), (0, 0, 0.5)]) < 0
