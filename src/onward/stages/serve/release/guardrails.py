"""An arm held against the champion, guardrail by guardrail."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from onward.core.records import Evidence, GuardrailResult
from onward.stages.serve.release.config import SMALLEST, Guardrails
from onward.stages.serve.release.observed import Observed
from onward.stages.serve.release.sequences import bounds, difference, shift
from onward.stages.serve.routes import CHAMPION

if TYPE_CHECKING:
    import numpy as np

_KNOWN: Final[Mapping[str, tuple[float, float]]] = {"error rate": (0.0, 1.0), "loss": (0.0, 1.0)}
"""Between what values lie, seen or not. A regression's loss may be more than 1."""


def held_against_champion(
    guardrails: Guardrails,
    observed: Observed,
    arm: str,
    *,
    arms: int,
    tuned_for: int,
    share: float = 1.0,
) -> tuple[GuardrailResult, ...]:
    """Judge an arm by every prediction so far.

    Parameters
    ----------
    arms
        How many arms are held against the champion: each has its part of alpha.
    share
        The share of units that the arm would have next. A guardrail is ``safe`` when its upper
        bound times that share is within tolerance: the service as a whole is shown to lose no
        more than that. ``harm`` is shown when the lower bound exceeds the tolerance.
    """
    limits = guardrails.limits
    alpha = guardrails.alpha / (len(limits) * arms)
    found = []
    for name, tolerance in limits.items():
        evidence = _evidence(name, observed, arm, alpha, max(tuned_for, SMALLEST))
        found.append(result(name, evidence, tolerance, arm=arm, alpha=alpha, share=share))
    return tuple(found)


def _evidence(
    name: str, observed: Observed, arm: str, alpha: float, tuned_for: int
) -> Evidence | None:
    if name == "predictions":
        return _shifted(observed, arm, alpha)
    values: Mapping[str, np.ndarray] = {
        "error rate": observed.failed,
        "latency": observed.capped,
        "loss": observed.loss,
        "reward": -observed.reward,
    }
    strata = observed.strata(values[name], arm)
    if name == "latency":
        strata = [pair for pair in strata if pair[1].mean]
    return difference(
        strata, alpha=alpha, tuned_for=tuned_for, relative=name == "latency",
        within=_KNOWN.get(name, ()),
    )  # fmt: skip


def _shifted(observed: Observed, arm: str, alpha: float) -> Evidence | None:
    """Return the distributions' distance in the newest step with enough units of both.

    Distances of different steps are no estimate of one figure, so each has alpha's part of its
    own: 6 / (pi s)^2 of it in the s-th.
    """
    for place, step in reversed(list(enumerate(observed.shares, start=1))):
        mine, theirs = (observed.outputs(each, step) for each in (arm, CHAMPION))
        if min(len(mine), len(theirs)) >= SMALLEST:
            part = alpha * 6 / (math.pi * place) ** 2
            return shift(mine, theirs, alpha=part)
    return None


def result(
    name: str,
    evidence: Evidence | None,
    tolerance: float,
    *,
    arm: str,
    alpha: float,
    share: float = 1.0,
) -> GuardrailResult:
    """Return a guardrail's reading, and what it shows."""
    if evidence is None:
        return GuardrailResult(
            name=name, difference=0.0, low=None, high=None, tolerance=tolerance, champion_n=0,
            candidate_n=0, state="no data", arm=arm, alpha=alpha, share=share,
        )  # fmt: skip
    low, high = bounds(evidence)
    harm, safe = low > tolerance, high * share <= tolerance
    return GuardrailResult(
        name=name,
        difference=evidence.estimate,
        low=low,
        high=high,
        tolerance=tolerance,
        champion_n=evidence.champion_n,
        candidate_n=evidence.candidate_n,
        state="harm" if harm else "safe" if safe else "undecided",
        arm=arm,
        alpha=alpha,
        share=share,
        evidence=evidence,
    )


def read_again(reading: GuardrailResult) -> GuardrailResult:
    """Return a reading computed anew from the evidence that it keeps."""
    return result(
        reading.name, reading.evidence, reading.tolerance,
        arm=reading.arm, alpha=reading.alpha, share=reading.share,
    )  # fmt: skip


def words(reading: GuardrailResult) -> str:
    """Say a guardrail's reading: shares and relative figures in percent, others as they are."""
    if reading.low is None or reading.high is None:
        return f"no data on {reading.name} yet"
    plain = reading.name in ("loss", "reward", "predictions")
    scale, unit = (1, "") if plain else (100, " %")
    low, high, tolerance = (scale * x for x in (reading.low, reading.high, reading.tolerance))
    what = "reward lost" if reading.name == "reward" else reading.name
    return f"{what} {low:+.3g} to {high:+.3g}{unit} (tolerated {tolerance:+.3g}{unit})"
