"""What a run came to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from onward.core.records import (
    Deployment,
    EvaluationReport,
    FeatureSetRef,
    ModelRef,
    RunRef,
    RunRequest,
    TrainingSetRef,
    ValidationReport,
)

State = Literal[
    "refreshed",  # data only, as asked
    "searched",  # hyperparameters only, as asked
    "held",  # a batch rule held data back; nothing was trained
    "unchanged",  # training gave the champion again
    "rejected",  # a gate said no
    "refused",  # staging said no
    "released",  # the candidate has its first share of traffic
    "cancelled",  # somebody no longer wanted it
    "promoted",  # there was no champion: the first version serves everything
]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOutcome:
    """The end of a run, with the record that each stage left; None where it was not reached."""

    id: str
    request: RunRequest
    state: State
    reason: str
    audits: tuple[ValidationReport, ...] = ()
    views: tuple[FeatureSetRef, ...] = ()
    training: TrainingSetRef | None = None
    trained: RunRef | None = None
    evaluation: EvaluationReport | None = None
    model: ModelRef | None = None
    deployment: Deployment | None = None
    seconds: float = 0.0
