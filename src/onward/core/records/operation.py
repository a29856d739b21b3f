"""Records of operation: images, deployments, routes, releases, monitoring, predictions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from onward.core.records.model import GateResult, ModelRef
from onward.core.refs import ref


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRef:
    """An image on disk. `digest` is its manifest's, ``sha256:…``.

    `layout` is the OCI image layout that it is in, or its ``/opt/onward``, unpacked.
    """

    name: str
    digest: str
    layout: str
    model: ModelRef

    @property
    def ref(self) -> str:
        return ref("image", self.name, self.digest)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """An image that passed, or failed, acceptance in an environment."""

    environment: str
    image: ImageRef
    passed: bool
    checks: tuple[GateResult, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitorResult:
    """One monitor's reading over one window. `breached` is about size, never a p-value."""

    monitor: str
    subject: str
    value: float | None
    limit: float | None
    breached: bool
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitorReport:
    """Readings of every monitor for one model over one window of event time."""

    id: str
    model: str
    at: datetime
    window_start: datetime
    window_end: datetime
    predictions: int
    labelled: int
    results: tuple[MonitorResult, ...]

    @property
    def breaches(self) -> tuple[MonitorResult, ...]:
        return tuple(r for r in self.results if r.breached)

    @property
    def ref(self) -> str:
        return ref("report", f"{self.id}.monitor.{self.model}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """A wish for a run, and its reason: a person, a commit, new data, a breach.

    With `train` false the run ends when the data stages have: tables, features, online rows. With
    `transforms` it only builds those derived tables. With `trials` it searches the model's
    hyperparameters instead, that many times. With `afresh` it trains, or builds tables whole, even
    where nothing is new.
    """

    id: str
    reason: str
    trigger: Literal["request", "commit", "data", "breach", "schedule"]
    requested_at: datetime
    cause: str | None = None
    train: bool = True
    transforms: tuple[str, ...] | None = None
    afresh: bool = False
    trials: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Suppressed:
    """A retraining that did not start, and why not."""

    reason: str
    cause: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """One logged prediction, as it was answered. Times in UTC, latency in microseconds.

    `marks` says, by view, what stood in for a fresh row: ``missing:null``, ``stale:last``, ….
    """

    id: str
    at: datetime
    model: str
    version: int
    image: str
    release: str
    arm: str
    unit: str
    status: int
    latency_us: int
    request: Mapping[str, Any]
    features: Mapping[str, Any]
    output: Any
    error: str | None = None
    marks: Mapping[str, str] = field(default_factory=dict)

    @property
    def ref(self) -> str:
        return ref("prediction", self.id)
