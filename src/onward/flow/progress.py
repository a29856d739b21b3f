"""Progress of a run: what a person who waits wants to see, stage by stage."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeVar

from onward.core.ports import Steps

T = TypeVar("T")

STAGES: Final = (
    "ingest",
    "validate",
    "transform",
    "features",
    "train",
    "evaluate",
    "register",
    "deploy",
    "serve",
    "monitor",
    "retrain",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """A stage began or ended its work on `subject`; `seconds` is wall time, 0 at the start."""

    stage: str
    subject: str
    state: Literal["started", "finished", "failed"]
    detail: str = ""
    seconds: float = 0.0


Listener = Callable[[Progress], None]


def silent(progress: Progress) -> None:
    """Hear nothing."""


def told(steps: Steps, tell: Listener) -> Steps:
    """Wrap durable steps named ``stage subject`` so that `tell` hears each begin and end."""

    def step(name: str, function: Callable[..., T], /, *args: Any) -> T:
        stage, _, subject = name.partition(" ")
        tell(Progress(stage=stage, subject=subject, state="started"))
        began = time.perf_counter()
        try:
            result = steps(name, function, *args)
        except BaseException as error:
            tell(_end(stage, subject, "failed", type(error).__name__, began))
            raise
        tell(_end(stage, subject, "finished", _summary(result), began))
        return result

    return step


def _end(
    stage: str, subject: str, state: Literal["finished", "failed"], detail: str, began: float
) -> Progress:
    return Progress(
        stage=stage,
        subject=subject,
        state=state,
        detail=detail,
        seconds=time.perf_counter() - began,
    )


def _summary(result: object) -> str:
    """Return what a record says of itself in a few words."""
    from onward.core import records as r

    match result:
        case None:
            return "nothing new"
        case r.Batch(rows=rows):
            return f"{rows:,} rows"
        case r.ValidationReport(held=True, rules=rules):
            return "held: " + ", ".join(x.rule for x in rules if not x.passed and x.scope == "batch")
        case r.ValidationReport(rows_published=good, rows_quarantined=bad):
            return f"{good:,} published, {bad:,} quarantined"
        case r.FeatureSetRef(rows_added=added, view=view):
            return f"version {view.version}, {added:,} rows"
        case r.TrainingSetRef(rows=rows, plan=plan):
            return f"{rows:,} rows × {len(plan.columns)} features"
        case r.RunRef(seconds=seconds):
            return f"fitted in {seconds:.1f} s"
        case r.EvaluationReport(metrics=metrics, passed=passed):
            first = metrics[0]
            verdict = "passed" if passed else "rejected"
            return f"{first.name} {first.value:.4f} [{first.low:.4f}, {first.high:.4f}], {verdict}"
        case r.ModelRef(version=version):
            return f"version {version}"
        case r.ImageRef(digest=digest):
            return digest[:19]
        case r.Deployment(passed=passed, checks=checks):
            failed = [c.gate for c in checks if not c.passed]
            return "accepted" if passed else "refused: " + ", ".join(failed)
        case r.ReleaseDecision(action=action, percent=percent):
            return f"{action} at {percent:g} %"
        case _:
            return ""
