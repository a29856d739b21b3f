"""Whether a release goes on: harm shown ends it, safety shown carries it on, else it holds.

What a decision follows from is gathered into its record first, and the verdict is a function of
that record alone: `decide_again` says, from what the ledger keeps, what was said then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Final

from onward.core.records import ReleaseDecision
from onward.stages.serve.release import abtest, bluegreen, canary, shadow
from onward.stages.serve.release.config import BlueGreen, Canary, Shadow, Strategy
from onward.stages.serve.release.guardrails import read_again
from onward.stages.serve.release.observed import Observed
from onward.stages.serve.release.split import ABTest
from onward.stages.serve.release.verdict import Progress, Verdict

if TYPE_CHECKING:
    import pyarrow as pa

_VERDICTS: Final[Mapping[str, Callable[[ReleaseDecision], Verdict]]] = {
    "canary": canary.verdict,
    "A/B test": abtest.verdict,
    "bandit": abtest.verdict,
    "blue-green": bluegreen.verdict,
    "shadow": shadow.verdict,
}


def decide(
    strategy: Strategy, progress: Progress, observations: pa.Table, now: datetime
) -> ReleaseDecision:
    """Judge a release by every prediction since it began; safe to ask as often as one likes.

    `observations` is as `Observed` takes it. Units that arrive in other shares than declared make
    every comparison doubtful: then there is no verdict, whatever the guardrails say. After the
    deadline what is not shown is a rollback.
    """
    return _decided(_case(strategy, progress, Observed(observations, progress.shares), now))


def decide_again(decision: ReleaseDecision) -> ReleaseDecision:
    """Decide by what a decision's record holds, and nothing else.

    Intervals are computed from their evidence, the verdict from them and the terms. Where a person
    held a release, or did not approve it, the record's `allowed` is what comes out, as `action`.
    """
    again = tuple(map(read_again, decision.guardrails))
    return _decided(replace(decision, guardrails=again, arm="", shares={}))


def _case(
    strategy: Strategy, progress: Progress, observed: Observed, now: datetime
) -> ReleaseDecision:
    match strategy:
        case Canary():
            return canary.case(strategy, progress, observed, now)
        case ABTest():
            return abtest.case(strategy, progress, observed, now)
        case BlueGreen():
            return bluegreen.case(strategy, progress, observed, now)
        case Shadow():
            return shadow.case(strategy, progress, observed, now)
    raise TypeError(f"no judge for {strategy!r}")


def _decided(case: ReleaseDecision) -> ReleaseDecision:
    verdict = _VERDICTS[case.strategy](case)
    return replace(
        case,
        action=verdict.action,
        allowed=verdict.action,
        reason=verdict.reason,
        arm=verdict.arm,
        shares=dict(verdict.shares),
    )
