"""Anytime-valid statistics: intervals and tests that may be looked at after every request.

A fixed-sample interval that is looked at again and again errs far more often than its level says;
a confidence sequence covers the truth at all times at once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, slots=True)
class Arm:
    """One arm's sample: its size, mean, and variance of a single value."""

    n: int
    mean: float
    variance: float


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its confidence sequence at this moment, and what it rests on."""

    estimate: float
    low: float
    high: float
    champion_n: int
    candidate_n: int


def sample(values: np.ndarray) -> Arm:
    """Return the arm of real values, shape (n,), n ≥ 2."""
    return Arm(len(values), float(values.mean()), float(values.var(ddof=1)))


def share(flags: np.ndarray) -> Arm:
    """Return the arm of yes/no values, shape (n,).

    The variance is that of (x + 1) / (n + 2), after Agresti and Coull (1998): an arm that has not
    failed yet is not thereby one that cannot.
    """
    n, hits = len(flags), int(flags.sum())
    rate = (hits + 1) / (n + 2)
    return Arm(n, hits / n, rate * (1 - rate))


def relative(candidate: Arm, champion: Arm) -> tuple[Arm, Arm]:
    """Return both arms such that their difference is the means' ratio - 1 (delta method)."""
    scale = champion.mean
    ratio = candidate.mean / scale
    return (
        Arm(candidate.n, ratio, candidate.variance / scale**2),
        Arm(champion.n, 1.0, champion.variance * (ratio / scale) ** 2),
    )


def difference(
    strata: Sequence[tuple[Arm, Arm]], *, alpha: float, tuned_for: int
) -> Interval | None:
    """Return the confidence sequence for candidate minus champion; None without strata.

    A stratum, (candidate, champion), is a period in which the shares stayed the same, so a
    change of shares while the traffic changes fakes no difference. Strata are weighted by
    w = n_c n_h / (n_c + n_h), the overlap weights of Li, Morgan and Zaslavsky (2018). With the
    weighted difference's standard error s and m = Σ w, the radius is

        s * sqrt((1 + 1 / (m * rho**2)) * log((m * rho**2 + 1) / alpha**2)),

    the asymptotic confidence sequence of Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas
    (arXiv 2103.06476, theorem 2.2, with the standard error where they write sigma / sqrt(t));
    rho is chosen, as in their appendix B.2, to make it narrowest where m = `tuned_for`.
    """
    if not strata:
        return None
    weights = [c.n * h.n / (c.n + h.n) for c, h in strata]
    m = sum(weights)
    estimate = sum(w * (c.mean - h.mean) for w, (c, h) in zip(weights, strata, strict=True)) / m
    variance = sum(
        w * w * (c.variance / c.n + h.variance / h.n)
        for w, (c, h) in zip(weights, strata, strict=True)
    )
    scale = -2 * math.log(alpha)
    rho2 = (scale + math.log(scale) + 1) / tuned_for
    growth = (1 + 1 / (m * rho2)) * math.log((m * rho2 + 1) / alpha**2)
    radius = math.sqrt(variance) / m * math.sqrt(growth)
    return Interval(
        estimate=estimate,
        low=estimate - radius,
        high=estimate + radius,
        champion_n=sum(h.n for _, h in strata),
        candidate_n=sum(c.n for c, _ in strata),
    )


def ratio_evidence(
    counts: Sequence[tuple[int, int, float]], *, concentration: float = 100
) -> float:
    """Return the log of the evidence that units are not assigned by the shares declared.

    `counts` are (candidate, champion, the candidate's declared share) per stratum. The evidence
    is the Bayes factor of a Beta prior around the declared share against that share: under the
    declared assignment it exceeds 1 / alpha at any time with probability alpha at most (Lindon and
    Malek, arXiv 2011.03567, with two categories).
    """
    total = 0.0
    for candidate, champion, declared in counts:
        a, b = concentration * declared, concentration * (1 - declared)
        total += _log_beta(a + candidate, b + champion) - _log_beta(a, b)
        total -= candidate * math.log(declared) + champion * math.log1p(-declared)
    return total


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
