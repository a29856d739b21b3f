"""A blue-green switch's judgement: what came after is held against what came before."""

from __future__ import annotations

from datetime import datetime

from onward.core.records import ReleaseDecision
from onward.stages.serve.release.config import BlueGreen
from onward.stages.serve.release.guardrails import held_against_champion, words
from onward.stages.serve.release.observed import Observed
from onward.stages.serve.release.verdict import Progress, Verdict, or_late, recorded, unripe


def judge(
    switch: BlueGreen, progress: Progress, observed: Observed, now: datetime
) -> ReleaseDecision:
    """Judge a switch: advance once the candidate was warm long enough; then rollback on harm.

    After the switch the arms answer at different times: they are compared as if in one, and
    promotion needs time and answers in which no harm was shown, not that there is none.
    """
    warm, keep = switch.plan
    left = progress.step_started_at + (warm if progress.step == 1 else keep).bake - now
    if progress.step == 1:
        verdict = (
            Verdict("hold", f"still missing: {left} of the time to warm")
            if left.total_seconds() > 0
            else Verdict("advance", "the candidate is loaded and warm", shares=keep.shares)
        )
        return recorded(switch, progress, (), observed, verdict, now)
    guardrails = held_against_champion(
        switch.guardrails, observed.merged(), "candidate", arms=1, tuned_for=switch.minimum
    )
    late = now - progress.started_at >= switch.lasts
    harm = [words(g) for g in guardrails if g.state == "harm"]
    lacking = unripe(switch, progress, observed, ["candidate"], keep.bake, now)
    if harm:
        verdict = Verdict("rollback", f"harm is shown: {'; '.join(harm)}")
    elif lacking:
        verdict = or_late(late, switch, f"still missing: {'; '.join(lacking)}")
    else:
        reason = f"no harm was shown: {'; '.join(map(words, guardrails))}"
        verdict = Verdict("promote", reason, arm="candidate")
    return recorded(switch, progress, guardrails, observed, verdict, now)
