"""Records of the model stages: candidates, trained models, evaluations, versions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from onward.core.records.features import TrainingSetRef
from onward.core.refs import ref


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """Hyperparameters to train with, and where they came from (defaults, or a search)."""

    model: str
    parameters: Mapping[str, Any]
    origin: str
    trials: int = 0
    score: float | None = None

    @property
    def ref(self) -> str:
        return ref("candidate", self.model, self.origin)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRef:
    """A fitted model: a folder of artifacts with its digest, and the tracker's run.

    The folder holds ``model.pkl`` (cloudpickle of the fitted estimator), ``request_features.pkl``,
    ``plan.json``, ``environment.json``, ``requirements.txt``, ``golden.json`` (held-out rows with
    their predictions) and ``code.py``. `digest` is the SHA-256 over the folder's files in sorted
    order. `holdout_from`: rows at or after this event time were not trained on. `kept` says that
    it was there already, and nothing was fitted.
    """

    id: str
    model: str
    path: str
    digest: str
    training: TrainingSetRef
    candidate: Candidate
    holdout_from: datetime
    commit: str | None
    tracker_run: str
    seconds: float
    kept: bool = field(default=False, compare=False)

    @property
    def ref(self) -> str:
        return ref("trained", self.id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A figure with its interval (95 % unless said otherwise) on `rows` rows."""

    name: str
    value: float
    low: float
    high: float
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GateResult:
    """One gate's answer, in words that a person can act on."""

    gate: str
    passed: bool
    reason: str
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationReport:
    """Metrics on the held-out rows, the paired comparison with the champion, and the verdict."""

    run: str
    model: str
    trained: str
    champion: str | None
    metrics: tuple[Metric, ...]
    champion_metrics: tuple[Metric, ...]
    slices: Mapping[str, Mapping[str, Metric]]
    gates: tuple[GateResult, ...]
    passed: bool
    rows: int

    @property
    def ref(self) -> str:
        return ref("report", f"{self.run}.evaluate.{self.model}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRef:
    """A registered version. `path` and `digest` are the trained folder's, checked at loading."""

    name: str
    version: int
    path: str
    digest: str
    trained: str
    card: str

    @property
    def ref(self) -> str:
        return ref("model", self.name, self.version)
