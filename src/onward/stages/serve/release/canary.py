"""A canary's judgement: safe at the next share, or harm, or neither yet."""

from __future__ import annotations

from datetime import datetime

from onward.core.records import ReleaseDecision
from onward.stages.serve.release import ratio
from onward.stages.serve.release.config import Canary
from onward.stages.serve.release.guardrails import held_against_champion, words
from onward.stages.serve.release.observed import Observed
from onward.stages.serve.release.verdict import (
    Progress,
    Verdict,
    gathered,
    harmful,
    late,
    open_guardrails,
    or_late,
    terms,
    unripe,
)


def case(canary: Canary, progress: Progress, observed: Observed, now: datetime) -> ReleaseDecision:
    """Return what a canary is judged by."""
    steps, step = canary.plan, min(progress.step, len(canary.plan))
    following = None if progress.step >= len(steps) else steps[progress.step].shares
    guardrails = held_against_champion(
        canary.guardrails,
        observed,
        "candidate",
        arms=1,
        tuned_for=canary.minimum,
        share=1.0 if following is None else following["candidate"] / 100,
    )
    held = terms(
        canary,
        progress,
        {"candidate": observed.answered("candidate", progress.number)},
        not_before=progress.step_started_at + steps[step - 1].bake,
        following=following,
    )
    return gathered(canary, progress, observed, guardrails, held, now)


def verdict(case: ReleaseDecision) -> Verdict:
    """Judge a canary.

    - Rollback when a guardrail's lower bound exceeds its tolerance.
    - Advance when the step has lasted and answered long enough and every guardrail is safe at the
      share that the candidate would have next; after the last step the version is promoted.
    - Hold otherwise, and say what is missing.
    """
    doubt = ratio.mismatch(case.units)
    if doubt is not None:
        return or_late(case, doubt)
    if harm := harmful(case):
        return Verdict("rollback", f"harm is shown: {'; '.join(harm.values())}")
    lacking = [*open_guardrails(case), *unripe(case, "answers in this step")]
    if lacking:
        return or_late(case, f"still missing: {'; '.join(lacking)}")
    shown = "; ".join(map(words, case.guardrails))
    following = case.terms.following
    if following is None:
        return Verdict("promote", f"no harm within tolerance: {shown}", arm="candidate")
    if late(case):
        return or_late(case, f"step {case.terms.step} of {case.terms.steps} was reached")
    reason = f"safe at {following['candidate']:g} % of traffic: {shown}"
    return Verdict("advance", reason, shares=following)
