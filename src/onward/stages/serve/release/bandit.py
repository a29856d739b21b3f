"""Thompson sampling: units shared out by the chance that an arm is the best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from onward.core.clock import duration
from onward.core.records import Allotment
from onward.stages.serve.release.observed import Observed
from onward.stages.serve.release.sequences import sample
from onward.stages.serve.release.split import ABTest
from onward.stages.serve.release.verdict import Progress, Verdict
from onward.stages.serve.routes import CHAMPION

if TYPE_CHECKING:
    import numpy as np

Beta = tuple[float, float]


def allotment(
    test: ABTest, progress: Progress, observed: Observed, active: Sequence[str], now: datetime
) -> Allotment | None:
    """Return what units would be shared out by now, and what is lacking; None without a bandit."""
    bandit = test.bandit
    if bandit is None:
        return None
    found = Allotment(floor=bandit.floor, draws=bandit.draws, seed=bandit.seed + progress.number)
    left = progress.step_started_at + duration(bandit.every) - now
    if left.total_seconds() > 0:
        return replace(found, lacking=f"{left} of the allocation's time")
    rewards = observed.reward if test.goal == "reward" else 1 - observed.loss
    known = rewards[rewards == rewards]
    if not len(known):
        return replace(found, lacking="no rewards yet")
    if known.min() < 0 or known.max() > 1:
        return replace(found, lacking="shares stay: rewards are not between 0 and 1")
    posterior = {arm: _beta(observed, rewards, arm) for arm in (CHAMPION, *active)}
    return replace(found, posterior=posterior)


def shared_out(found: Allotment, now: Mapping[str, float], reason: str) -> Verdict:
    """Share the units out by the rewards so far; hold where something is lacking for it."""
    if not found.posterior:
        return Verdict("hold", f"{reason}; {found.lacking}")
    shares = allocation(found.posterior, floor=found.floor, draws=found.draws, seed=found.seed)
    dropped = {arm: 0.0 for arm in now if arm not in found.posterior}
    said = ", ".join(f"{arm} {percent:g} %" for arm, percent in shares.items())
    return Verdict(
        "advance",
        f"shared out by rewards: {said}; {reason}",
        shares={**{arm: p for arm, p in shares.items() if arm != CHAMPION}, **dropped},
    )


def _beta(observed: Observed, rewards: np.ndarray, arm: str) -> Beta:
    """Return the posterior of an arm's mean reward by unit, from a flat prior.

    A unit's reward r between 0 and 1 counts as r of a success: for rewards that are not 0 or 1 the
    posterior is wider than theirs would be.
    """
    rows = observed.of(arm) & (rewards == rewards)
    units = sample(rewards[rows], observed.unit[rows])
    won = float((units.total / units.count).sum())
    return 1 + won, 1 + units.n - won


def allocation(
    posterior: Mapping[str, Beta], *, floor: float, draws: int, seed: int
) -> dict[str, float]:
    """Return each arm's percent: the floor, and of the rest the chance that it is the best.

    Percentages are whole hundredths; what rounding leaves is the first arm's.
    """
    import numpy as np

    chance = np.random.default_rng(seed)
    drawn = np.stack([chance.beta(a, b, draws) for a, b in posterior.values()])
    wins = np.bincount(drawn.argmax(axis=0), minlength=len(posterior)) / draws
    rest = 100 - floor * len(posterior)
    first, *others = posterior
    found = {
        arm: round(floor + rest * float(share), 2)
        for arm, share in zip(others, wins[1:], strict=True)
    }
    return {first: round(100 - sum(found.values()), 2), **found}
