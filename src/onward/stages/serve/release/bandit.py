"""Thompson sampling: units shared out by the chance that an arm is the best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from onward.core.clock import duration
from onward.stages.serve.release.config import ABTest
from onward.stages.serve.release.observed import Observed
from onward.stages.serve.release.sequences import sample
from onward.stages.serve.release.verdict import Progress, Verdict
from onward.stages.serve.routes import CHAMPION

if TYPE_CHECKING:
    import numpy as np

Beta = tuple[float, float]


def allocate(
    test: ABTest,
    progress: Progress,
    observed: Observed,
    active: Sequence[str],
    reason: str,
    now: datetime,
) -> Verdict:
    """Share the units out by the rewards so far, if the allocation's time has come; else hold."""
    bandit = test.bandit
    assert bandit is not None
    if now - progress.step_started_at < duration(bandit.every):
        return Verdict("hold", reason)
    rewards = observed.reward if test.goal == "reward" else 1 - observed.loss
    known = rewards[rewards == rewards]
    if not len(known):
        return Verdict("hold", f"{reason}; no rewards yet")
    if known.min() < 0 or known.max() > 1:
        return Verdict("hold", f"{reason}; shares stay: rewards are not between 0 and 1")
    posterior = {arm: _beta(observed, rewards, arm) for arm in (CHAMPION, *active)}
    seed = bandit.seed + progress.number
    shares = allocation(posterior, floor=bandit.floor, draws=bandit.draws, seed=seed)
    dropped = {arm: 0.0 for arm in progress.shares[progress.number] if arm not in posterior}
    said = ", ".join(f"{arm} {percent:g} %" for arm, percent in shares.items())
    return Verdict(
        "advance",
        f"shared out by rewards: {said}; {reason}",
        shares={**{arm: p for arm, p in shares.items() if arm != CHAMPION}, **dropped},
        posterior=posterior,
        seed=seed,
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
