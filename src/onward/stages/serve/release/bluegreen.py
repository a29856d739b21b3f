"""A blue-green switch's judgement: what came after is held against what came before."""

from __future__ import annotations

from datetime import datetime

from onward.core.records import ReleaseDecision
from onward.stages.serve.release.config import BlueGreen
from onward.stages.serve.release.guardrails import held_against_champion, words
from onward.stages.serve.release.observed import Observed
from onward.stages.serve.release.verdict import (
    Progress,
    Verdict,
    gathered,
    harmful,
    or_late,
    terms,
    unripe,
)


def case(
    switch: BlueGreen, progress: Progress, observed: Observed, now: datetime
) -> ReleaseDecision:
    """Return what a switch is judged by: time alone before it, and then what came after it.

    After the switch the arms answer at different times: they are compared as if in one.
    """
    warm, keep = switch.plan
    if progress.step == 1:
        not_before = progress.step_started_at + warm.bake
        held = terms(switch, progress, {}, not_before=not_before, following=keep.shares)
        return gathered(switch, progress, observed, (), held, now)
    guardrails = held_against_champion(
        switch.guardrails, observed.merged(), "candidate", arms=1, tuned_for=switch.minimum
    )
    answered = {"candidate": observed.answered("candidate", progress.number)}
    held = terms(switch, progress, answered, not_before=progress.step_started_at + keep.bake)
    return gathered(switch, progress, observed, guardrails, held, now)


def verdict(case: ReleaseDecision) -> Verdict:
    """Judge a switch: advance once the candidate was warm long enough; then rollback on harm.

    Promotion needs time and answers in which no harm was shown, not that there is none.
    """
    if case.terms.following is not None:
        left = case.terms.not_before - case.at
        if left.total_seconds() > 0:
            return Verdict("hold", f"still missing: {left} of the time to warm")
        return Verdict("advance", "the candidate is loaded and warm", shares=case.terms.following)
    if harm := harmful(case):
        return Verdict("rollback", f"harm is shown: {'; '.join(harm.values())}")
    if lacking := unripe(case, "answers in this step"):
        return or_late(case, f"still missing: {'; '.join(lacking)}")
    reason = f"no harm was shown: {'; '.join(map(words, case.guardrails))}"
    return Verdict("promote", reason, arm="candidate")
