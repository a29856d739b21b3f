"""Anytime-valid statistics: intervals and tests that may be looked at after every request.

A fixed-sample interval that is looked at again and again errs far more often than its level says;
a confidence sequence covers the truth at all times at once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from onward.core.records import Evidence

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One arm's values in one stratum, summed by unit.

    `unit` are the k units' codes, ascending; `count` how many values each has, `total` their sum.
    Values of one unit depend on each other, so a unit is one observation, however often it asks.
    """

    unit: np.ndarray
    count: np.ndarray
    total: np.ndarray

    @property
    def n(self) -> int:
        return len(self.unit)

    @property
    def mean(self) -> float:
        return float(self.total.sum() / self.count.sum())

    @property
    def values(self) -> np.ndarray:
        """Each unit's mean, shape (k,)."""
        found: np.ndarray = self.total / self.count
        return found

    def influence(self) -> np.ndarray:
        """Return how much each unit moves the mean, shape (k,).

        The mean is a ratio of sums; its linearisation is the delta method's (Deng, Knoblich and
        Lu, arXiv 1803.06336).
        """
        k = self.n
        found: np.ndarray = (self.total - self.mean * self.count) / self.count.sum()
        return found * math.sqrt(k / (k - 1))


def sample(values: np.ndarray, units: np.ndarray) -> Sample:
    """Return values summed by their units' codes, both of shape (n,)."""
    import numpy as np

    unit, place = np.unique(units, return_inverse=True)
    return Sample(unit, np.bincount(place).astype(np.float64), np.bincount(place, weights=values))


def difference(
    strata: Sequence[tuple[Sample, Sample]],
    *,
    alpha: float,
    tuned_for: int,
    relative: bool = False,
    within: Sequence[float] = (),
) -> Evidence | None:
    """Return what the confidence sequence for candidate minus champion is made of.

    None without strata, and where all values are one: nothing then says how far they vary.

    A stratum, (candidate, champion), is a period in which the shares stayed the same, so a
    change of shares while the traffic changes fakes no difference. Strata are weighted by
    w = k_c k_h / (k_c + k_h), k being units: the overlap weights of Li, Morgan and Zaslavsky
    (2018). The variance sums, over units, the square of what each moves the estimate in all
    strata and both arms together: a unit that asks often, or in several steps, counts once.

    Parameters
    ----------
    alpha
        The chance that the interval ever misses the truth.
    tuned_for
        The units, as Σ w, at which it is narrowest.
    relative
        Compare the ratio of the means with 1 (delta method).
    within
        The ends of the range that values are known to have, where it is known. Those seen widen
        it, of either arm. An arm's variance is at least what it were with one unit more at each
        end: for yes and no that of (x + 1) / (k + 2), after Agresti and Coull (1998). An arm that
        has not failed yet, or whose one large reward is still to come, is not thereby one that
        cannot.
    """
    import numpy as np

    if not strata:
        return None
    seen = np.concatenate([*(arm.values for pair in strata for arm in pair), within])
    ends = np.array([seen.min(), seen.max()])
    if ends[0] == ends[1]:
        return None
    weights = [c.n * h.n / (c.n + h.n) for c, h in strata]
    m = sum(weights)
    estimate, floor = 0.0, 0.0
    units, moves = [], []
    for w, (c, h) in zip(weights, strata, strict=True):
        share = w / m
        scale = h.mean if relative else 1.0
        ratio = c.mean / scale if relative else 1.0
        estimate += share * (ratio - 1 if relative else c.mean - h.mean)
        units += [c.unit, h.unit]
        moves += [share * c.influence() / scale, -share * ratio * h.influence() / scale]
        least_c, least_h = (_least(arm, ends) / scale**2 for arm in (c, h))
        floor += share**2 * (least_c + ratio**2 * least_h)
    _, place = np.unique(np.concatenate(units), return_inverse=True)
    moved = np.bincount(place, weights=np.concatenate(moves))
    return Evidence(
        kind="means",
        estimate=estimate,
        variance=max(float(moved @ moved), floor),
        weight=float(m),
        champion_n=len(np.unique(np.concatenate([h.unit for _, h in strata]))),
        candidate_n=len(np.unique(np.concatenate([c.unit for c, _ in strata]))),
        alpha=alpha,
        tuned_for=tuned_for,
    )


def paired(found: Sample, *, alpha: float, tuned_for: int) -> Evidence:
    """Return what the confidence sequence for the mean of differences on the same rows is made of.

    Differences are of figures from 0 to 1, or of wider ones. The variance is at least what it
    were with one unit more that differs by all that is known to be possible.
    """
    influence, n = found.influence(), found.n
    reach = max(1.0, float(abs(found.values).max()))
    least = (float(found.values @ found.values) + reach**2) / (n + 2) / n
    variance = max(float(influence @ influence), least)
    return Evidence(
        kind="means",
        estimate=found.mean,
        variance=variance,
        weight=float(found.n),
        champion_n=found.n,
        candidate_n=found.n,
        alpha=alpha,
        tuned_for=tuned_for,
    )


def bounds(found: Evidence) -> tuple[float, float]:
    """Return the lower and the upper bound that follow from what was seen; see `radius`, `shift`.

    A distance lies between 0 and 1, and so do its bounds.
    """
    if found.kind == "distance":
        reach = sum(
            math.sqrt(math.log(4 * n * (n + 1) / found.alpha) / (2 * n))
            for n in (found.candidate_n, found.champion_n)
        )
        return max(0.0, found.estimate - reach), min(1.0, found.estimate + reach)
    reach = float(
        radius(found.variance, found.weight, alpha=found.alpha, tuned_for=found.tuned_for)
    )
    return found.estimate - reach, found.estimate + reach


def _least(arm: Sample, ends: np.ndarray) -> float:
    """Return the variance of the arm's mean, were there a unit more at each end of the range."""
    k = arm.n
    mean = (arm.values.sum() + ends.sum()) / (k + 2)
    squares = ((arm.values - mean) ** 2).sum() + ((ends - mean) ** 2).sum()
    return float(squares) / (k + 2) / k


def radius(
    variance: float | np.ndarray, m: float | np.ndarray, *, alpha: float, tuned_for: int
) -> np.ndarray:
    """Return the half width of the confidence sequence of an estimate with this variance.

    With the estimate's standard error s it is

        s * sqrt((1 + 1 / (m * rho**2)) * log((m * rho**2 + 1) / alpha**2)),

    the asymptotic confidence sequence of Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas
    (arXiv 2103.06476, theorem 2.2, with the standard error where they write sigma / sqrt(t));
    rho is chosen, as in their appendix B.2, to make it narrowest where m = `tuned_for`.
    """
    import numpy as np

    scale = -2 * math.log(alpha)
    rho2 = (scale + math.log(scale) + 1) / tuned_for
    growth = (1 + 1 / (m * rho2)) * np.log((m * rho2 + 1) / alpha**2)
    found: np.ndarray = np.sqrt(variance * growth)
    return found


def shift(candidate: np.ndarray, champion: np.ndarray, *, alpha: float) -> Evidence:
    """Return the greatest distance of two distributions, and what its bounds are made of.

    `candidate` and `champion` hold one value for each unit. The distance is Kolmogorov and
    Smirnov's. Each empirical distribution is, at all n at once, within sqrt(log(2 n (n + 1) / a)
    / (2 n)) of the true one with probability 1 - a: Massart's (1990) form of the inequality of
    Dvoretzky, Kiefer and Wolfowitz at level a / (n (n + 1)), summed over n. Here a = alpha / 2.
    """
    import numpy as np

    values = np.concatenate([candidate, champion])
    ranks = [
        np.searchsorted(np.sort(arm), values, side="right") / len(arm)
        for arm in (candidate, champion)
    ]
    return Evidence(
        kind="distance",
        estimate=float(np.abs(ranks[0] - ranks[1]).max()),
        champion_n=len(champion),
        candidate_n=len(candidate),
        alpha=alpha,
    )
