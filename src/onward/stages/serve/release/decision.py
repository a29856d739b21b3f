"""Whether a release goes on: harm shown ends it, safety shown carries it on, else it holds."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final, Literal

from onward.core.records import GuardrailResult, ReleaseDecision
from onward.stages.serve.config import Canary
from onward.stages.serve.release.sequences import (
    Arm,
    difference,
    ratio_evidence,
    relative,
    sample,
    share,
)

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

RATIO_ALPHA: Final = 0.001
"""The chance that assignment is called wrong, over the whole release, while it is right."""

LATENCY_CAP: Final = 10.0
"""Latencies count up to this many times the champion's median in the same step: a pause of the
machine is no property of a model, and means need finite tails.
"""

SMALLEST: Final = 30
"""Answers per arm and step below which a step is left out: the sequences are asymptotic."""

Action = Literal["advance", "promote", "rollback", "hold"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where a release stands. `step` counts from 1, `percent` is the candidate's share now."""

    release: str
    model: str
    version: int
    step: int
    percent: float
    started_at: datetime
    step_started_at: datetime


def decide(
    canary: Canary, progress: Progress, observations: pa.Table, now: datetime
) -> ReleaseDecision:
    """Judge a release by every prediction since it began; safe to ask as often as one likes.

    `observations` has the columns ``arm`` (``champion`` or ``candidate``), ``step`` (from 1),
    ``at``, ``status``, ``latency_us``, ``loss`` (null until the label is known) and, if known,
    ``unit``, which is then what assignment is judged by.

    - Rollback when a guardrail's lower bound exceeds its tolerance, or when the deadline passes.
    - Advance when the step has lasted and answered long enough and every upper bound, times the
      share that the candidate would have next, is within tolerance: the service as a whole is
      shown to lose no more than that. At the end the share is 1, and the version is promoted.
    - Hold otherwise, and say what is missing. Units that arrive in other shares than declared
      make every comparison doubtful: then there is no verdict.
    """
    table = _Observed(observations)
    share_next = 1.0 if progress.step >= len(canary.steps) else canary.steps[progress.step] / 100
    guardrails = tuple(_guardrails(canary, table, share_next))
    action, reason = _verdict(canary, progress, table, guardrails, share_next, now)
    return ReleaseDecision(
        release=progress.release,
        model=progress.model,
        version=progress.version,
        step=progress.step,
        percent=progress.percent,
        action=action,
        reason=reason,
        guardrails=guardrails,
        at=now,
    )


class _Observed:
    """The observations as arrays of shape (n,), and the steps with enough in both arms."""

    def __init__(self, table: pa.Table) -> None:
        import numpy as np
        import pyarrow.compute as pc

        arms = table["arm"]
        known = pc.is_in(arms, value_set=_arms())
        table = table.filter(known)
        self.candidate: np.ndarray = pc.equal(table["arm"], "candidate").to_numpy()
        self.step: np.ndarray = table["step"].to_numpy()
        self.failed: np.ndarray = pc.not_equal(table["status"], 200).to_numpy()
        self.latency: np.ndarray = table["latency_us"].to_numpy().astype(np.float64)
        self.loss: np.ndarray = table["loss"].cast("double").to_numpy()
        self.unit = table["unit"] if "unit" in table.column_names else None

    def strata(
        self, values: np.ndarray, of: Callable[[np.ndarray], Arm]
    ) -> Iterator[tuple[Arm, Arm]]:
        """Yield (candidate, champion) for each step that has enough of both."""
        import numpy as np

        present = ~np.isnan(values)
        for step in np.unique(self.step):
            here = present & (self.step == step)
            candidate, champion = values[here & self.candidate], values[here & ~self.candidate]
            if min(len(candidate), len(champion)) >= SMALLEST:
                yield of(candidate), of(champion)

    def capped(self) -> np.ndarray:
        """Return the latencies, capped step by step at a multiple of the champion's median."""
        import numpy as np

        found = self.latency.copy()
        for step in np.unique(self.step):
            here = self.step == step
            champion = found[here & ~self.candidate]
            if len(champion):
                found[here] = np.minimum(found[here], LATENCY_CAP * np.median(champion))
        return found

    def answered(self, step: int) -> int:
        """Return how many predictions the candidate has made in a step."""
        return int((self.candidate & (self.step == step)).sum())

    def counts(self, canary: Canary) -> list[tuple[int, int, float]]:
        """Return candidate's and champion's units, and the declared share, for each step."""
        found = []
        for step, percent in enumerate(canary.steps, start=1):
            here = self.step == step
            sides = [here & self.candidate, here & ~self.candidate]
            if self.unit is None:
                candidate, champion = (int(side.sum()) for side in sides)
            else:
                candidate, champion = (
                    len(self.unit.filter(_mask(side)).unique()) for side in sides
                )
            if candidate + champion:
                found.append((candidate, champion, percent / 100))
        return found


def _guardrails(canary: Canary, table: _Observed, share_next: float) -> Iterator[GuardrailResult]:
    limits = {
        "error rate": (canary.max_error_increase, list(table.strata(table.failed * 1.0, share))),
        "latency": (
            canary.max_latency_increase,
            [relative(*arms) for arms in table.strata(table.capped(), sample) if arms[1].mean],
        ),
    }
    if canary.max_loss_increase is not None:
        limits["loss"] = (canary.max_loss_increase, list(table.strata(table.loss, sample)))
    for name, (tolerance, strata) in limits.items():
        found = difference(
            strata, alpha=canary.alpha / len(limits), tuned_for=max(canary.minimum, SMALLEST)
        )
        if found is None:
            yield GuardrailResult(
                name=name, difference=0.0, low=-math.inf, high=math.inf, tolerance=tolerance,
                champion_n=0, candidate_n=0, state="no data",
            )  # fmt: skip
            continue
        harm = found.low > tolerance
        safe = found.high * share_next <= tolerance
        yield GuardrailResult(
            name=name,
            difference=found.estimate,
            low=found.low,
            high=found.high,
            tolerance=tolerance,
            champion_n=found.champion_n,
            candidate_n=found.candidate_n,
            state="harm" if harm else "safe" if safe else "undecided",
        )


def _verdict(
    canary: Canary,
    progress: Progress,
    table: _Observed,
    guardrails: tuple[GuardrailResult, ...],
    share_next: float,
    now: datetime,
) -> tuple[Action, str]:
    late = now - progress.started_at >= canary.deadline
    counts = table.counts(canary)
    if ratio_evidence(counts) > -math.log(RATIO_ALPHA):
        seen = ", ".join(f"{c} of {c + h} at {p:.3g}" for c, h, p in counts)
        return _or_late(late, canary, f"units are not assigned as declared ({seen} declared)")
    for guardrail in guardrails:
        if guardrail.state == "harm":
            return "rollback", f"harm is shown: {_words(guardrail)}"
    missing = [
        f"no data on {g.name} yet" if g.state == "no data" else f"{_words(g)} is open"
        for g in guardrails
        if g.state != "safe"
    ]
    answered = table.answered(progress.step)
    if answered < canary.minimum:
        missing.append(f"{answered} of {canary.minimum} answers in this step")
    left = progress.step_started_at + canary.bake - now
    if left.total_seconds() > 0:
        missing.append(f"{left} of the step's time")
    if missing:
        return _or_late(late, canary, f"still missing: {'; '.join(missing)}")
    shown = "; ".join(map(_words, guardrails))
    if progress.step >= len(canary.steps):
        return "promote", f"no harm within tolerance: {shown}"
    if late:
        return _or_late(late, canary, f"step {progress.step} of {len(canary.steps)} was reached")
    return "advance", f"safe at {100 * share_next:g} % of traffic: {shown}"


def _or_late(late: bool, canary: Canary, reason: str) -> tuple[Action, str]:
    if late:
        return (
            "rollback",
            f"inconclusive after {canary.deadline.total_seconds() / 86_400:g} days: {reason}",
        )
    return "hold", reason


def _words(result: GuardrailResult) -> str:
    """Say a guardrail's reading: shares and relative figures in percent, losses as they are."""
    scale, unit = (1, "") if result.name == "loss" else (100, " %")
    low, high, tolerance = (scale * x for x in (result.low, result.high, result.tolerance))
    return f"{result.name} {low:+.3g} to {high:+.3g}{unit} (tolerated {tolerance:+.3g}{unit})"


def _arms() -> pa.Array:
    import pyarrow as pa

    return pa.array(["champion", "candidate"])


def _mask(flags: np.ndarray) -> pa.Array:
    import pyarrow as pa

    return pa.array(flags)
