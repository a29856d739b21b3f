"""What all strategies' judgements are made of: where they stand, and what is said of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from onward.core.records import GuardrailResult, ReleaseDecision, Terms
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
    """What to do, and why: which arm is promoted, or what shares come next."""

    action: Action
    reason: str
    arm: str = ""
    shares: Mapping[str, float] = field(default_factory=dict)


def gathered(
    strategy: Strategy,
    progress: Progress,
    observed: Observed,
    guardrails: Sequence[GuardrailResult],
    terms: Terms,
    now: datetime,
) -> ReleaseDecision:
    """Return the decision before it is made: all that it follows from, and nothing else."""
    shares = progress.shares[progress.number]
    return ReleaseDecision(
        release=progress.release,
        model=progress.model,
        version=progress.version,
        step=progress.number,
        percent=shares.get("candidate", 0.0),
        action="hold",
        allowed="hold",
        reason="",
        guardrails=tuple(guardrails),
        at=now,
        terms=terms,
        strategy=strategy.name,
        units=tuple((dict(counts), dict(declared)) for counts, declared in observed.first_seen()),
    )


def terms(
    strategy: Strategy,
    progress: Progress,
    answered: Mapping[str, int],
    *,
    not_before: datetime,
    following: Mapping[str, float] | None = None,
) -> Terms:
    """Return what a decision is held to."""
    return Terms(
        since=progress.started_at,
        deadline=progress.started_at + strategy.lasts,
        not_before=not_before,
        minimum=strategy.minimum,
        answered=dict(answered),
        shares=dict(progress.shares[progress.number]),
        following=None if following is None else dict(following),
        step=progress.step,
        steps=len(strategy.plan),
    )


def late(case: ReleaseDecision) -> bool:
    """Whether the strategy's deadline is over."""
    return case.at >= case.terms.deadline


def harmful(case: ReleaseDecision) -> Mapping[str, str]:
    """Return, for each arm that is shown to do harm, the readings that show it, in words."""
    found: dict[str, list[str]] = {}
    for reading in case.guardrails:
        if reading.state == "harm":
            found.setdefault(reading.arm, []).append(words(reading))
    return {arm: "; ".join(said) for arm, said in found.items()}


def open_guardrails(case: ReleaseDecision) -> list[str]:
    """Say which guardrails are not yet shown to be safe."""
    return [
        words(g) if g.state == "no data" else f"{words(g)} is open"
        for g in case.guardrails
        if g.state not in ("safe", "harm")
    ]


def unripe(case: ReleaseDecision, what: str, whose: str = "step") -> list[str]:
    """Say which answers, and how much time, are still needed: so many answers are `what`."""
    held = case.terms
    lacking = []
    for arm, answered in held.answered.items():
        if answered < held.minimum:
            of = f" of {arm}" if len(held.answered) > 1 else ""
            lacking.append(f"{answered} of {held.minimum} {what}{of}")
    left = held.not_before - case.at
    if left.total_seconds() > 0:
        lacking.append(f"{left} of the {whose}'s time")
    return lacking


def or_late(case: ReleaseDecision, reason: str) -> Verdict:
    """Hold; after the deadline, fall back to the champion."""
    if not late(case):
        return Verdict("hold", reason)
    days = (case.terms.deadline - case.terms.since).total_seconds() / 86_400
    return Verdict("rollback", f"inconclusive after {days:g} days: {reason}")
