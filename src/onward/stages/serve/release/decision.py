"""Whether a release goes on: harm shown ends it, safety shown carries it on, else it holds."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from onward.core.records import ReleaseDecision
from onward.stages.serve.release import abtest, bluegreen, canary, shadow
from onward.stages.serve.release.config import ABTest, BlueGreen, Canary, Shadow, Strategy
from onward.stages.serve.release.observed import Observed
from onward.stages.serve.release.verdict import Progress

if TYPE_CHECKING:
    import pyarrow as pa


def decide(
    strategy: Strategy, progress: Progress, observations: pa.Table, now: datetime
) -> ReleaseDecision:
    """Judge a release by every prediction since it began; safe to ask as often as one likes.

    `observations` is as `Observed` takes it. Units that arrive in other shares than declared make
    every comparison doubtful: then there is no verdict, whatever the guardrails say. After the
    deadline what is not shown is a rollback.
    """
    observed = Observed(observations, progress.shares)
    match strategy:
        case Canary():
            return canary.judge(strategy, progress, observed, now)
        case ABTest():
            return abtest.judge(strategy, progress, observed, now)
        case BlueGreen():
            return bluegreen.judge(strategy, progress, observed, now)
        case Shadow():
            return shadow.judge(strategy, progress, observed, now)
    raise TypeError(f"no judge for {strategy!r}")
