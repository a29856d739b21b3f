"""What a rule does under a known truth: how often it errs, and how many answers it needs.

Every run is looked at again and again, as a controller does. Arrays are (runs, looks).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from onward.stages.serve.release.sequences import radius

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, slots=True, eq=False)
class Looks:
    """Candidate minus champion at every look: the estimate, its variance, the units as Σ w.

    `answers` are the candidate's at each look, shape (looks,). `rates` are both arms' error rates
    in the interval before each look, (2, runs, looks), the candidate's first.
    """

    estimate: np.ndarray
    variance: np.ndarray
    m: np.ndarray
    answers: np.ndarray
    rates: np.ndarray


@dataclass(frozen=True, slots=True)
class Outcome:
    """The share of runs that were aborted and promoted, and the median answers to the abort."""

    aborted: float
    promoted: float
    answers: float | None


def error_rates(
    champion: float, candidate: float, *, runs: int, looks: int, each: int, seed: int,
    share: float = 0.5,
) -> Looks:  # fmt: skip
    """Return looks at two error rates, `each` answers of the candidate apart.

    `share` is the candidate's of all units; a unit asks once.
    """
    import numpy as np

    chance = np.random.default_rng(seed)
    sizes = np.array([each, round(each * (1 - share) / share)])[:, None, None]
    rates = np.array([candidate, champion])[:, None, None]
    failed = chance.binomial(sizes, rates, (2, runs, looks))
    n = sizes * np.arange(1, looks + 1)
    hits = failed.cumsum(axis=2)
    least = (hits + 1) / (n + 2)
    mean = hits / n
    return Looks(
        estimate=mean[0] - mean[1],
        variance=(least * (1 - least) / n).sum(axis=0),
        m=n[0] * n[1] / (n[0] + n[1]),
        answers=n[0].ravel(),
        rates=failed / sizes,
    )


def sequence(looks: Looks, *, alpha: float, tolerance: float, tuned_for: int = 500) -> Outcome:
    """Judge by the confidence sequence, as `decision.decide` does at the last step."""
    reach = radius(looks.variance, looks.m, alpha=alpha, tuned_for=tuned_for)
    ripe = looks.answers >= tuned_for
    return outcome(
        looks.estimate - reach > tolerance, (looks.estimate + reach <= tolerance) & ripe, looks
    )


def fixed(looks: Looks, *, alpha: float, tolerance: float, peeking: bool) -> Outcome:
    """Judge by the one-sided z test of a fixed size: at every look, or only at the last."""
    from statistics import NormalDist

    import numpy as np

    reach = NormalDist().inv_cdf(1 - alpha) * np.sqrt(looks.variance)
    last = np.arange(len(looks.answers)) == len(looks.answers) - 1
    when = np.ones_like(last) if peeking else last
    return outcome(
        (looks.estimate - reach > tolerance) & when,
        (looks.estimate + reach <= tolerance) & when,
        looks,
    )


def thresholds(looks: Looks, *, limit: float, failures: int = 5) -> Outcome:
    """Judge as Flagger does: so many intervals worse than `limit` abort; else promote."""
    import numpy as np

    failed = (looks.rates[0] > limit).cumsum(axis=1) >= failures
    last = np.arange(len(looks.answers)) == len(looks.answers) - 1
    return outcome(failed, ~failed & last, looks)


def outcome(abort: np.ndarray, promote: np.ndarray, looks: Looks) -> Outcome:
    """Return what became of the runs; whatever is said first stands."""
    import numpy as np

    never = abort.shape[1]
    aborted, promoted = (
        np.where(found.any(axis=1), found.argmax(axis=1), never) for found in (abort, promote)
    )
    ends = looks.answers[aborted[(aborted < promoted)]]
    return Outcome(
        aborted=float(np.mean(aborted < promoted)),
        promoted=float(np.mean(promoted < aborted)),
        answers=float(np.median(ends)) if len(ends) else None,
    )
