"""A shadow's judgement: the candidate on the rows that the champion answered."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Final

from onward.core.records import Evidence, GuardrailResult, ReleaseDecision
from onward.stages.serve.release.config import SHADOW, SMALLEST, Shadow
from onward.stages.serve.release.guardrails import result, words
from onward.stages.serve.release.observed import Observed
from onward.stages.serve.release.sequences import paired, sample, shift
from onward.stages.serve.release.verdict import (
    Progress,
    Verdict,
    gathered,
    harmful,
    open_guardrails,
    or_late,
    terms,
    unripe,
)
from onward.stages.serve.routes import CHAMPION

if TYPE_CHECKING:
    import numpy as np

JUDGED: Final = ("error rate", "loss", "predictions")


def case(shadow: Shadow, progress: Progress, observed: Observed, now: datetime) -> ReleaseDecision:
    """Return what a shadow is judged by: the rows that both arms answered."""
    rows = observed.pairs(SHADOW)
    held = terms(
        shadow,
        progress,
        {SHADOW: len(rows[0])},
        not_before=progress.step_started_at + shadow.plan[0].bake,
    )
    guardrails = _guardrails(shadow, observed, rows)
    return gathered(shadow, progress, observed, guardrails, held, now)


def verdict(case: ReleaseDecision) -> Verdict:
    """Judge a shadow: safe in all, harm, or neither yet."""
    if harm := harmful(case):
        return Verdict("rollback", f"harm is shown: {'; '.join(harm.values())}")
    lacking = [*open_guardrails(case), *unripe(case, "rows answered by both", "shadow")]
    if lacking:
        return or_late(case, f"still missing: {'; '.join(lacking)}")
    shown = "; ".join(map(words, case.guardrails))
    reason = f"no harm within tolerance on the same rows: {shown}"
    return Verdict("promote", reason, arm="candidate")


def _guardrails(
    shadow: Shadow, observed: Observed, rows: tuple[np.ndarray, np.ndarray]
) -> tuple[GuardrailResult, ...]:
    limits = {n: limit for n, limit in shadow.guardrails.limits.items() if n in JUDGED}
    alpha = shadow.guardrails.alpha / max(len(limits), 1)
    values: Mapping[str, np.ndarray] = {"error rate": observed.failed, "loss": observed.loss}
    found = []
    for name, tolerance in limits.items():
        if name == "predictions":
            evidence = _shifted(observed, alpha)
        else:
            evidence = _paired(values[name], observed, rows, alpha, shadow.minimum)
        found.append(result(name, evidence, tolerance, arm=SHADOW, alpha=alpha))
    return tuple(found)


def _paired(
    values: np.ndarray,
    observed: Observed,
    rows: tuple[np.ndarray, np.ndarray],
    alpha: float,
    tuned_for: int,
) -> Evidence | None:
    import numpy as np

    mine, theirs = rows
    differences = values[mine] - values[theirs]
    known = ~np.isnan(differences)
    units = observed.unit[theirs][known]
    if len(np.unique(units)) < SMALLEST:
        return None
    return paired(sample(differences[known], units), alpha=alpha, tuned_for=tuned_for)


def _shifted(observed: Observed, alpha: float) -> Evidence | None:
    step = max(observed.shares)
    mine, theirs = (observed.outputs(arm, step) for arm in (SHADOW, CHAMPION))
    if min(len(mine), len(theirs)) < SMALLEST:
        return None
    return shift(mine, theirs, alpha=alpha)
