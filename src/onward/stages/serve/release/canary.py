"""A canary's judgement: safe at the next share, or harm, or neither yet."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from onward.core.records import GuardrailResult, ReleaseDecision
from onward.stages.serve.release import ratio
from onward.stages.serve.release.config import Canary
from onward.stages.serve.release.guardrails import held_against_champion, words
from onward.stages.serve.release.observed import Observed
from onward.stages.serve.release.verdict import (
    Progress,
    Verdict,
    open_guardrails,
    or_late,
    recorded,
    unripe,
)


def judge(canary: Canary, progress: Progress, observed: Observed, now: datetime) -> ReleaseDecision:
    """Judge a canary.

    - Rollback when a guardrail's lower bound exceeds its tolerance.
    - Advance when the step has lasted and answered long enough and every guardrail is safe at the
      share that the candidate would have next; after the last step the version is promoted.
    - Hold otherwise, and say what is missing.
    """
    steps = canary.plan
    share = 1.0 if progress.step >= len(steps) else steps[progress.step].shares["candidate"] / 100
    guardrails = held_against_champion(
        canary.guardrails, observed, "candidate", arms=1, tuned_for=canary.minimum, share=share
    )
    verdict = _verdict(canary, progress, observed, guardrails, share, now)
    return recorded(canary, progress, guardrails, observed, verdict, now)


def _verdict(
    canary: Canary,
    progress: Progress,
    observed: Observed,
    guardrails: Sequence[GuardrailResult],
    share: float,
    now: datetime,
) -> Verdict:
    late = now - progress.started_at >= canary.lasts
    doubt = ratio.mismatch(observed.first_seen())
    if doubt is not None:
        return or_late(late, canary, doubt)
    for guardrail in guardrails:
        if guardrail.state == "harm":
            return Verdict("rollback", f"harm is shown: {words(guardrail)}")
    steps = canary.plan
    bake = steps[min(progress.step, len(steps)) - 1].bake
    lacking = [
        *open_guardrails(guardrails),
        *unripe(canary, progress, observed, ["candidate"], bake, now),
    ]
    if lacking:
        return or_late(late, canary, f"still missing: {'; '.join(lacking)}")
    shown = "; ".join(map(words, guardrails))
    if progress.step >= len(steps):
        return Verdict("promote", f"no harm within tolerance: {shown}", arm="candidate")
    if late:
        return or_late(late, canary, f"step {progress.step} of {len(steps)} was reached")
    reason = f"safe at {100 * share:g} % of traffic: {shown}"
    return Verdict("advance", reason, shares=steps[progress.step].shares)
