"""A shadow's judgement: the candidate on the rows that the champion answered."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Final

from onward.core.records import GuardrailResult, ReleaseDecision
from onward.stages.serve.release.config import SHADOW, SMALLEST, Shadow
from onward.stages.serve.release.guardrails import result, words
from onward.stages.serve.release.observed import Observed
from onward.stages.serve.release.sequences import Interval, paired, sample, shift
from onward.stages.serve.release.verdict import (
    Progress,
    Verdict,
    open_guardrails,
    or_late,
    recorded,
)
from onward.stages.serve.routes import CHAMPION

if TYPE_CHECKING:
    import numpy as np

JUDGED: Final = ("error rate", "loss", "predictions")


def judge(shadow: Shadow, progress: Progress, observed: Observed, now: datetime) -> ReleaseDecision:
    """Judge a shadow on the rows that both arms answered: safe in all, harm, or neither yet."""
    rows = observed.pairs(SHADOW)
    guardrails = _guardrails(shadow, observed, rows)
    late = now - progress.started_at >= shadow.lasts
    harm = [words(g) for g in guardrails if g.state == "harm"]
    lacking = open_guardrails(guardrails)
    if len(rows[0]) < shadow.minimum:
        lacking.append(f"{len(rows[0])} of {shadow.minimum} rows answered by both")
    left = progress.step_started_at + shadow.plan[0].bake - now
    if left.total_seconds() > 0:
        lacking.append(f"{left} of the shadow's time")
    if harm:
        verdict = Verdict("rollback", f"harm is shown: {'; '.join(harm)}")
    elif lacking:
        verdict = or_late(late, shadow, f"still missing: {'; '.join(lacking)}")
    else:
        reason = f"no harm within tolerance on the same rows: {'; '.join(map(words, guardrails))}"
        verdict = Verdict("promote", reason, arm="candidate")
    return recorded(shadow, progress, guardrails, observed, verdict, now)


def _guardrails(
    shadow: Shadow, observed: Observed, rows: tuple[np.ndarray, np.ndarray]
) -> tuple[GuardrailResult, ...]:
    limits = {n: limit for n, limit in shadow.guardrails.limits.items() if n in JUDGED}
    alpha = shadow.guardrails.alpha / max(len(limits), 1)
    values: Mapping[str, np.ndarray] = {"error rate": observed.failed, "loss": observed.loss}
    found = []
    for name, tolerance in limits.items():
        if name == "predictions":
            interval = _shifted(observed, alpha)
        else:
            interval = _paired(values[name], observed, rows, alpha, shadow.minimum, name)
        found.append(result(name, interval, tolerance, arm=SHADOW, alpha=alpha))
    return tuple(found)


def _paired(
    values: np.ndarray,
    observed: Observed,
    rows: tuple[np.ndarray, np.ndarray],
    alpha: float,
    tuned_for: int,
    name: str,
) -> Interval | None:
    import numpy as np

    mine, theirs = rows
    differences = values[mine] - values[theirs]
    known = ~np.isnan(differences)
    units = observed.unit[theirs][known]
    if len(np.unique(units)) < SMALLEST:
        return None
    found = sample(differences[known], units)
    return paired(found, alpha=alpha, tuned_for=tuned_for, flags=name == "error rate")


def _shifted(observed: Observed, alpha: float) -> Interval | None:
    [step] = observed.shares
    mine, theirs = (observed.outputs(arm, step) for arm in (SHADOW, CHAMPION))
    if min(len(mine), len(theirs)) < SMALLEST:
        return None
    return Interval(*shift(mine, theirs, alpha=alpha), len(theirs), len(mine))
