"""Anytime-valid statistics, against simulations with an eye on them all the time."""

from __future__ import annotations

import math

import numpy as np
import pytest

from onward.stages.serve.release.ratio import evidence, mismatch
from onward.stages.serve.release.sequences import bounds, difference, paired, radius, sample, shift

ALPHA = 0.05


def interval(candidate, champion, alpha: float = ALPHA, **kw):
    found = difference([(candidate, champion)], alpha=alpha, tuned_for=500, **kw)
    assert found is not None
    return found


def width(found) -> float:
    low, high = bounds(found)
    return high - low


def alone(values, begin: int = 0):
    """An arm whose every value is of a unit of its own, numbered from `begin`."""
    return sample(values, np.arange(begin, begin + len(values)))


def test_the_interval_is_the_mean_of_differences_with_the_radius_of_its_variance():
    chance = np.random.default_rng(1)
    a, b = chance.normal(1, 2, 400), chance.normal(0, 1, 900)
    found = interval(alone(a), alone(b, 400))
    assert found.estimate == pytest.approx(a.mean() - b.mean())
    ends = [min(a.min(), b.min()), max(a.max(), b.max())]
    variance = sum(np.append(x, ends).var() / len(x) for x in (a, b))
    reach = radius(variance, 400 * 900 / 1300, alpha=ALPHA, tuned_for=500)
    assert bounds(found)[1] - found.estimate == pytest.approx(reach)
    assert variance > a.var(ddof=1) / 400 + b.var(ddof=1) / 900
    assert (found.candidate_n, found.champion_n) == (400, 900)


def test_an_arm_that_has_not_failed_is_not_thereby_perfect():
    none = alone(np.zeros(100))
    other = alone(np.zeros(100), 100)
    found = interval(none, other, within=(0, 1))
    assert found.estimate == 0
    assert bounds(found)[0] < -0.01 < 0.01 < bounds(found)[1]


def test_values_that_are_all_one_say_nothing_of_how_far_they_vary():
    same = [(alone(np.full(100, 2.0)), alone(np.full(100, 2.0), 100))]
    assert difference(same, alpha=ALPHA, tuned_for=500) is None
    known = difference(same, alpha=ALPHA, tuned_for=500, within=(0, 4))
    assert known is not None
    assert bounds(known)[0] < -0.05 < 0.05 < bounds(known)[1]


def test_pairs_that_never_differ_may_still():
    found = paired(alone(np.zeros(100)), alpha=ALPHA, tuned_for=500)
    assert found.estimate == 0
    assert found.variance == pytest.approx(1 / 102 / 100)


def test_strata_keep_a_change_of_shares_from_faking_a_difference():
    """Traffic gets worse while the candidate's share grows: pooled, the candidate looks bad."""

    def arm(n: int, rate: float, begin: int):
        return alone((np.arange(n) < n * rate) * 1.0, begin)

    strata = [
        (arm(40, 0.05, 0), arm(960, 0.05, 1_000)),
        (arm(500, 0.20, 2_000), arm(500, 0.20, 3_000)),
    ]
    found = difference(strata, alpha=ALPHA, tuned_for=500)
    assert found is not None
    assert found.estimate == pytest.approx(0, abs=1e-12)
    assert (found.candidate_n, found.champion_n) == (540, 1_460)
    assert difference([], alpha=ALPHA, tuned_for=500) is None


def test_a_unit_counts_once_however_often_it_asks():
    """Ten answers each, all alike: as wide as if every unit had asked once."""
    chance = np.random.default_rng(2)
    values = chance.random((2, 200))
    units = np.arange(400).reshape(2, 200)
    once = interval(*(sample(v, u) for v, u in zip(values, units, strict=True)))
    often = interval(
        *(sample(np.repeat(v, 10), np.repeat(u, 10)) for v, u in zip(values, units, strict=True))
    )
    assert bounds(often) == pytest.approx(bounds(once))
    blind = interval(*(alone(np.repeat(v, 10), 2_000 * i) for i, v in enumerate(values)))
    assert width(blind) < 0.5 * width(often)


def test_units_that_stay_for_two_steps_are_no_new_evidence():
    """The same units with the same values in a second step tell nothing more."""
    chance = np.random.default_rng(3)
    candidate, champion = (
        sample(v, u)
        for v, u in zip(chance.random((2, 200)), np.arange(400).reshape(2, 200), strict=True)
    )
    one = difference([(candidate, champion)], alpha=ALPHA, tuned_for=10**9)
    two = difference([(candidate, champion)] * 2, alpha=ALPHA, tuned_for=2 * 10**9)
    assert one is not None
    assert two is not None
    assert bounds(two) == pytest.approx(bounds(one), rel=0.01)


def test_the_interval_narrows_with_data_and_widens_with_confidence():
    def width_of(n: int, alpha: float) -> float:
        flags = (np.arange(n) < n // 10) * 1.0
        found = interval(alone(flags), alone(flags, n), alpha)
        return width(found)

    widths = [
        width_of(*each) for each in ((100, 0.05), (1_000, 0.05), (10_000, 0.05), (10_000, 0.01))
    ]
    assert widths[0] > widths[1] > widths[2] < widths[3]


def test_relative_is_the_ratio_of_means():
    chance = np.random.default_rng(4)
    found = interval(
        alone(chance.normal(30, 2, 500)),
        alone(chance.normal(20, 2, 500), 500),
        relative=True,
    )
    assert found.estimate == pytest.approx(0.5, abs=0.02)
    assert 0.4 < bounds(found)[0] < 0.5 < bounds(found)[1] < 0.6


def test_shift_is_the_distance_of_distributions_and_always_covers():
    chance = np.random.default_rng(5)
    for move, truth in ((0.0, 0.0), (0.3, 0.3)):
        missed = 0
        for _ in range(100):
            a, b = chance.random(1_000) + move, chance.random(1_000)
            looks = [bounds(shift(a[:n], b[:n], alpha=ALPHA)) for n in range(50, 1_001, 100)]
            missed += any(not low <= truth <= high for low, high in looks)
        assert missed <= 100 * ALPHA
    found = shift(np.zeros(5_000), np.ones(5_000), alpha=ALPHA)
    low, high = bounds(found)
    assert (found.estimate, high) == (1.0, 1.0)
    assert low > 0.8


# ---------------------------------------------------------------- assignment


def counted(hits: int, n: int, share: float):
    return {"candidate": hits, "champion": n - hits}, {"candidate": share, "champion": 1 - share}


def test_the_ratio_check_seldom_errs_and_finds_a_mismatch():
    chance = np.random.default_rng(6)
    limit = -math.log(0.01)
    wrong = 0
    for _ in range(300):
        hits = np.cumsum(chance.random(5_000) < 0.05)
        wrong += any(
            evidence([counted(int(hits[n - 1]), n, 0.05)]) > limit for n in range(50, 5_001, 50)
        )
    assert wrong / 300 <= 0.01 + 0.005
    assert evidence([counted(600, 5_000, 0.1)]) > limit
    assert evidence([counted(500, 5_000, 0.1), counted(0, 0, 0.5)]) < 0


def test_three_arms_are_checked_together():
    shares = {"champion": 0.5, "a": 0.3, "b": 0.2}
    assert mismatch([({"champion": 500, "a": 300, "b": 200}, shares)]) is None
    found = mismatch([({"champion": 500, "a": 200, "b": 300}, shares)])
    assert found is not None
    assert "a 200 of 1000 at 0.3, b 300 of 1000 at 0.2 declared" in found


def test_units_of_an_arm_without_a_share_are_a_mismatch():
    assert evidence([({"champion": 10, "a": 1}, {"champion": 1.0, "a": 0.0})]) == math.inf
    assert evidence([({"champion": 10, "a": 0}, {"champion": 1.0, "a": 0.0})]) == 0
