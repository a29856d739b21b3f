"""An A/B test's judgement: which arm is better, which does harm, and what shares they have."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from onward.core.records import GuardrailResult, ReleaseDecision
from onward.stages.serve.release import ratio
from onward.stages.serve.release.bandit import allocate
from onward.stages.serve.release.config import ABTest
from onward.stages.serve.release.guardrails import held_against_champion, words
from onward.stages.serve.release.observed import Observed
from onward.stages.serve.release.verdict import Progress, Verdict, or_late, recorded
from onward.stages.serve.routes import CHAMPION


def judge(test: ABTest, progress: Progress, observed: Observed, now: datetime) -> ReleaseDecision:
    """Judge an A/B test.

    - An arm that does harm loses its share; rollback when none is left.
    - Promote an arm that is safe in all and shown to be better at the goal, once every arm has
      answered enough and the test has lasted; of several the one with the best estimate.
    - With a bandit, share the units out anew when its time has come.
    - Hold otherwise, and say what is missing.
    """
    shares = progress.shares[progress.number]
    active = [arm for arm, percent in shares.items() if arm != CHAMPION and percent > 0]
    guardrails = [
        reading
        for arm in active
        for reading in held_against_champion(
            test.guardrails, observed, arm, arms=len(test.split), tuned_for=test.minimum
        )
    ]
    verdict = _verdict(test, progress, observed, guardrails, active, now)
    return recorded(test, progress, guardrails, observed, verdict, now)


def _verdict(
    test: ABTest,
    progress: Progress,
    observed: Observed,
    guardrails: Sequence[GuardrailResult],
    active: Sequence[str],
    now: datetime,
) -> Verdict:
    late = now - progress.started_at >= test.lasts
    doubt = ratio.mismatch(observed.first_seen())
    if doubt is not None:
        return or_late(late, test, doubt)
    harm = {g.arm: f"{g.arm}: {words(g)}" for g in guardrails if g.state == "harm"}
    if set(active) <= harm.keys():
        return Verdict("rollback", f"harm is shown: {'; '.join(harm.values())}")
    if harm:
        left = progress.shares[progress.number]
        shares = {arm: 0.0 if arm in harm else p for arm, p in left.items() if arm != CHAMPION}
        return Verdict("advance", f"harm is shown: {'; '.join(harm.values())}", shares=shares)
    lacking = _unripe(test, progress, observed, active, now)
    better = {} if lacking else _better(test, guardrails, active)
    if better:
        best = min(better, key=lambda arm: better[arm].difference)
        return Verdict("promote", f"{best} is better: {words(better[best])}", arm=best)
    goals = [f"{g.arm}: {words(g)}" for g in guardrails if g.name == test.goal]
    reason = "; ".join([f"no arm is shown to be better ({'; '.join(goals)})", *lacking])
    if not late and test.bandit is not None:
        return allocate(test, progress, observed, active, reason, now)
    return or_late(late, test, reason)


def _better(
    test: ABTest, guardrails: Sequence[GuardrailResult], active: Sequence[str]
) -> dict[str, GuardrailResult]:
    """Return, by arm, the goal's reading of those that are safe in all and better at it."""
    unsafe = {g.arm for g in guardrails if g.state != "safe"}
    return {
        g.arm: g
        for g in guardrails
        if g.name == test.goal and g.arm in active and g.arm not in unsafe and g.high < 0
    }


def _unripe(
    test: ABTest, progress: Progress, observed: Observed, active: Sequence[str], now: datetime
) -> list[str]:
    """Say which answers, and how much time, the test still needs, over all its allocations."""
    lacking = [
        f"{answered} of {test.minimum} answers of {arm}"
        for arm in active
        if (answered := int(observed.of(arm).sum())) < test.minimum
    ]
    left = progress.started_at + test.plan[0].bake - now
    return [*lacking, f"{left} of the test's time"] if left.total_seconds() > 0 else lacking
