"""The rules' error rates, by simulation: what the guide says of them, in small."""

from __future__ import annotations

import numpy as np
import pytest

from onward.stages.serve.release.config import SMALLEST
from onward.stages.serve.release.sequences import bounds, difference, radius, sample
from onward.stages.serve.release.simulate import error_rates, fixed, sequence, thresholds

ALPHA = 0.05
BIG = {"runs": 1_000, "looks": 100, "each": 100}


@pytest.mark.parametrize("share", [0.05, 0.5])
@pytest.mark.parametrize("rate", [0.005, 0.05])
def test_equal_arms_are_seldom_aborted_however_often_one_looks(share, rate):
    looks = error_rates(rate, rate, share=share, seed=1, **BIG)
    assert sequence(looks, alpha=ALPHA, tolerance=0.0).aborted <= ALPHA
    if rate == 0.05:
        assert fixed(looks, alpha=ALPHA, tolerance=0.0, peeking=True).aborted > 4 * ALPHA
        assert fixed(looks, alpha=ALPHA, tolerance=0.0, peeking=False).aborted < 2 * ALPHA


def test_harm_at_the_tolerance_is_seldom_promoted():
    looks = error_rates(0.05, 0.06, seed=2, **BIG)
    found = sequence(looks, alpha=ALPHA, tolerance=0.01)
    assert found.promoted <= ALPHA
    assert found.aborted <= ALPHA
    assert fixed(looks, alpha=ALPHA, tolerance=0.01, peeking=True).promoted > 4 * ALPHA


def test_named_effects_are_found_in_time():
    small, middle, large = (
        sequence(error_rates(0.05, rate, seed=3, **BIG), alpha=ALPHA, tolerance=0.0)
        for rate in (0.06, 0.08, 0.10)
    )
    assert small.aborted > 0.5
    assert middle.aborted > 0.99
    assert large.aborted == 1
    assert middle.answers is not None
    assert large.answers is not None
    assert 500 < large.answers < middle.answers < 2_500


def test_equal_arms_are_promoted_within_the_margin():
    looks = error_rates(0.01, 0.01, seed=4, **BIG)
    assert sequence(looks, alpha=ALPHA, tolerance=0.01).promoted > 0.99


def test_thresholds_on_intervals_depend_on_luck():
    """Five bad intervals of a hundred, at a limit that the champion itself would break."""
    equal = thresholds(error_rates(0.05, 0.05, seed=5, **BIG), limit=0.08)
    assert equal.aborted > 0.5
    harmed = thresholds(error_rates(0.05, 0.06, seed=5, **BIG), limit=0.15)
    assert harmed.promoted > 0.9


def test_the_simulation_judges_as_the_statistics_do():
    looks = error_rates(0.05, 0.07, runs=1, looks=1, each=2_000, seed=6, share=0.25)
    arms = [
        sample((np.arange(n) < round(n * rate)) * 1.0, np.arange(n) + 10_000 * place)
        for place, (n, rate) in enumerate(zip((2_000, 6_000), looks.rates.ravel(), strict=True))
    ]
    found = difference([(arms[0], arms[1])], alpha=ALPHA, tuned_for=500, within=(0, 1))
    assert found is not None
    reach = radius(looks.variance, looks.m, alpha=ALPHA, tuned_for=500)[0, 0]
    assert found.estimate == pytest.approx(looks.estimate[0, 0])
    assert bounds(found)[1] - found.estimate == pytest.approx(reach)


def peeked(chance, units: int, requests: int, looks: int) -> tuple[np.ndarray, ...]:
    """Estimate, variance by unit, variance by request, and Σ w of an A/A run, at every look.

    Units differ in how often they ask (Pareto) and in how often they fail (Beta, mean 5 %), and
    come back again and again.
    """
    means, clustered, naive, sizes = [], [], [], []
    for _ in range(2):
        asks = chance.pareto(1.5, units) + 0.1
        fails = chance.beta(0.25, 4.75, units)
        unit = chance.choice(units, requests, p=asks / asks.sum())
        failed = chance.random(requests) < fails[unit]
        cell = np.repeat(np.arange(looks), requests // looks) * units + unit
        shape = (looks, units)
        count = np.bincount(cell, minlength=looks * units).reshape(shape).cumsum(axis=0)
        total = np.bincount(cell, failed, looks * units).reshape(shape).cumsum(axis=0)
        n, k = count.sum(axis=1), (count > 0).sum(axis=1)
        mean = total.sum(axis=1) / n
        spread = ((total - mean[:, None] * count) ** 2).sum(axis=1) / n**2
        means.append(mean)
        clustered.append(spread * k / (k - 1))
        naive.append(mean * (1 - mean) / n)
        sizes.append(k)
    m = sizes[0] * sizes[1] / (sizes[0] + sizes[1])
    return means[0] - means[1], sum(clustered), sum(naive), m


def test_units_that_ask_often_are_judged_by_unit():
    chance = np.random.default_rng(7)
    runs, wrong, blind = 200, 0, 0
    for _ in range(runs):
        estimate, clustered, naive, m = peeked(chance, units=400, requests=5_000, looks=50)
        ripe = m >= 30
        reach = radius(clustered, m, alpha=ALPHA, tuned_for=500)
        wrong += bool(((estimate > reach) & ripe).any())
        reach = radius(naive, np.arange(1, 51) * 50.0, alpha=ALPHA, tuned_for=500)
        blind += bool((estimate > reach).any())
    assert wrong / runs <= ALPHA
    assert blind / runs > 2 * ALPHA


def test_load_that_comes_and_goes_is_no_slow_candidate():
    """Latency follows an AR(1) of the machine's load, which both arms share: judged by request."""
    chance = np.random.default_rng(8)
    runs, wrong = 100, 0
    for _ in range(runs):
        noise = chance.normal(0, 0.4, 60)
        load = np.empty(60)
        load[0] = noise[0]
        for minute in range(1, 60):
            load[minute] = 0.9 * load[minute - 1] + noise[minute]
        latency = np.exp(np.repeat(load, 100) + chance.normal(0, 0.3, 6_000))
        candidate = chance.random(6_000) < 0.25
        for end in range(500, 6_001, 500):
            arms = [
                sample(latency[:end][side], np.flatnonzero(side))
                for side in (candidate[:end], ~candidate[:end])
            ]
            found = difference([(arms[0], arms[1])], alpha=ALPHA, tuned_for=500, relative=True)
            if found is not None and bounds(found)[0] > 0:
                wrong += 1
                break
    assert wrong / runs <= ALPHA


def shown(make, *, share: float, within=(), runs: int = 100) -> float:
    """The share of runs in which arms of equal means are ever called different, by 30 looks.

    The chance is three guardrails' part of alpha: seen less often, an arm has seen nothing rare.
    """
    chance, wrong = np.random.default_rng(9), 0
    for _ in range(runs):
        side = chance.random(3_000) < share
        values = make(chance, side)
        for end in np.geomspace(100, 3_000, 30).astype(int):
            arms = [np.flatnonzero(side[:end]), np.flatnonzero(~side[:end])]
            if min(map(len, arms)) < SMALLEST:
                continue
            mine, theirs = (sample(values[rows], rows) for rows in arms)
            found = difference([(mine, theirs)], alpha=ALPHA / 3, tuned_for=500, within=within)
            if found is not None and not bounds(found)[0] <= 0 <= bounds(found)[1]:
                wrong += 1
                break
    return wrong / runs


@pytest.mark.parametrize("share", [0.05, 0.5])
@pytest.mark.parametrize(
    "reward",
    [
        lambda chance, side: chance.random(len(side)) < 0.01,
        lambda chance, side: chance.lognormal(0, 2, len(side)),
        lambda chance, side: (
            chance.lognormal(0, 1.5, len(side)) * (chance.random(len(side)) < 0.05)
        ),
    ],
    ids=["one in a hundred buys", "few spend most", "few spend, and they most"],
)
def test_rewards_that_are_rare_or_large_are_not_missed_because_they_are_not_yet_seen(reward, share):
    assert shown(lambda *of: reward(*of) * 1.0, share=share) <= ALPHA


@pytest.mark.parametrize("share", [0.05, 0.5])
def test_losses_are_not_settled_by_the_labels_that_are_common(share):
    """One label in a hundred is 1; the arms say 0.5 and 1.5 %, and lose the same."""

    def loss(chance, side):
        return (np.where(side, 0.005, 0.015) - (chance.random(len(side)) < 0.01)) ** 2

    assert shown(loss, share=share, within=(0, 1)) <= ALPHA
