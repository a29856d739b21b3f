"""An A/B test's judgement: which arm is better, which does harm, and what shares they have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from onward.core.records import GuardrailResult, ReleaseDecision
from onward.stages.serve.release import ratio
from onward.stages.serve.release.bandit import allotment, shared_out
from onward.stages.serve.release.guardrails import held_against_champion, words
from onward.stages.serve.release.observed import Observed
from onward.stages.serve.release.split import ABTest
from onward.stages.serve.release.verdict import (
    Progress,
    Verdict,
    gathered,
    harmful,
    late,
    or_late,
    terms,
    unripe,
)
from onward.stages.serve.routes import CHAMPION


def case(test: ABTest, progress: Progress, observed: Observed, now: datetime) -> ReleaseDecision:
    """Return what a test is judged by: every arm that has a share, over all its allocations."""
    active = _active(progress.shares[progress.number])
    guardrails = [
        reading
        for arm in active
        for reading in held_against_champion(
            test.guardrails, observed, arm, arms=len(test.split), tuned_for=test.minimum
        )
    ]
    held = terms(
        test,
        progress,
        {arm: int(observed.of(arm).sum()) for arm in active},
        not_before=progress.started_at + test.plan[0].bake,
    )
    held = replace(held, goal=test.goal, allotment=allotment(test, progress, observed, active, now))
    return gathered(test, progress, observed, guardrails, held, now)


def verdict(case: ReleaseDecision) -> Verdict:
    """Judge an A/B test.

    - An arm that does harm loses its share; rollback when none is left.
    - Promote an arm that is safe in all and shown to be better at the goal, once every arm has
      answered enough and the test has lasted; of several the one with the best estimate.
    - With a bandit, share the units out anew when its time has come.
    - Hold otherwise, and say what is missing.
    """
    doubt = ratio.mismatch(case.units)
    if doubt is not None:
        return or_late(case, doubt)
    active, harm = _active(case.terms.shares), harmful(case)
    said = "; ".join(f"{arm}: {shown}" for arm, shown in harm.items())
    if set(active) <= harm.keys():
        return Verdict("rollback", f"harm is shown: {said}")
    if harm:
        left = {arm: p for arm, p in case.terms.shares.items() if arm != CHAMPION}
        shares = {arm: 0.0 if arm in harm else percent for arm, percent in left.items()}
        return Verdict("advance", f"harm is shown: {said}", shares=shares)
    lacking = unripe(case, "answers", "test")
    better = {} if lacking else _better(case)
    if better:
        best = min(better, key=lambda arm: better[arm].difference)
        return Verdict("promote", f"{best} is better: {words(better[best])}", arm=best)
    goals = [f"{g.arm}: {words(g)}" for g in case.guardrails if g.name == case.terms.goal]
    reason = "; ".join([f"no arm is shown to be better ({'; '.join(goals)})", *lacking])
    if not late(case) and case.terms.allotment is not None:
        return shared_out(case.terms.allotment, case.terms.shares, reason)
    return or_late(case, reason)


def _active(shares: Mapping[str, float]) -> list[str]:
    return [arm for arm, percent in shares.items() if arm != CHAMPION and percent > 0]


def _better(case: ReleaseDecision) -> dict[str, GuardrailResult]:
    """Return, by arm, the goal's reading of those that are safe in all and better at it."""
    unsafe = {g.arm for g in case.guardrails if g.state != "safe"}
    return {
        g.arm: g
        for g in case.guardrails
        if g.name == case.terms.goal and g.arm not in unsafe and g.high is not None and g.high < 0
    }
