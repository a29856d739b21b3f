"""What all strategies' judgements are made of: where they stand, and what is said of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from onward.core.records import GuardrailResult, ReleaseDecision
from onward.core.records.release import Action
from onward.stages.serve.release.config import Strategy
from onward.stages.serve.release.guardrails import words
from onward.stages.serve.release.observed import Observed


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where a strategy stands.

    Parameters
    ----------
    release
        The release's ref.
    step
        The strategy's step, from 1.
    shares
        Percent by arm for each of its steps so far, by the number that predictions are logged
        with; the last is the one that lasts.
    started_at, step_started_at
        When the strategy, and its step, began.
    """

    release: str
    model: str
    version: int
    step: int
    shares: Mapping[int, Mapping[str, float]]
    started_at: datetime
    step_started_at: datetime

    @property
    def number(self) -> int:
        """The number of the step that lasts."""
        return max(self.shares)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do, and why: which arm is promoted, or what shares come next.

    `posterior` holds each arm's Beta parameters, where shares were drawn from them by `seed`.
    """

    action: Action
    reason: str
    arm: str = ""
    shares: Mapping[str, float] = field(default_factory=dict)
    posterior: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    seed: int = 0


def recorded(
    strategy: Strategy,
    progress: Progress,
    guardrails: Sequence[GuardrailResult],
    observed: Observed,
    verdict: Verdict,
    now: datetime,
) -> ReleaseDecision:
    """Return the decision with all that it was made from."""
    shares = progress.shares[progress.number]
    return ReleaseDecision(
        release=progress.release,
        model=progress.model,
        version=progress.version,
        step=progress.number,
        percent=shares.get("candidate", 0.0),
        action=verdict.action,
        reason=verdict.reason,
        guardrails=tuple(guardrails),
        at=now,
        strategy=strategy.name,
        arm=verdict.arm,
        shares=dict(verdict.shares),
        posterior=dict(verdict.posterior),
        seed=verdict.seed,
        units=tuple((dict(counts), dict(declared)) for counts, declared in observed.first_seen()),
    )


def open_guardrails(guardrails: Sequence[GuardrailResult]) -> list[str]:
    """Say which guardrails are not yet shown to be safe."""
    return [
        f"no data on {g.name} yet" if g.state == "no data" else f"{words(g)} is open"
        for g in guardrails
        if g.state not in ("safe", "harm")
    ]


def unripe(
    strategy: Strategy,
    progress: Progress,
    observed: Observed,
    arms: Sequence[str],
    bake: timedelta,
    now: datetime,
) -> list[str]:
    """Say which answers, and how much time, the step still needs."""
    lacking = []
    for arm in arms:
        answered = observed.answered(arm, progress.number)
        if answered < strategy.minimum:
            whose = "" if arm == "candidate" else f" of {arm}"
            lacking.append(f"{answered} of {strategy.minimum} answers{whose} in this step")
    left = progress.step_started_at + bake - now
    if left.total_seconds() > 0:
        lacking.append(f"{left} of the step's time")
    return lacking


def or_late(late: bool, strategy: Strategy, reason: str) -> Verdict:
    """Hold; after the deadline, fall back to the champion."""
    if not late:
        return Verdict("hold", reason)
    days = strategy.lasts.total_seconds() / 86_400
    return Verdict("rollback", f"inconclusive after {days:g} days: {reason}")
