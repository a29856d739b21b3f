"""What the stages hand each other: frozen records that carry ids, never vendor objects.

Every record holds plain JSON values, tuples of them, other records and datetimes, so that a
record survives a crash, a process boundary and the ledger unchanged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

from onward.core.declarations import Task
from onward.core.refs import ref

# ---------------------------------------------------------------- data

UNREADABLE: Final = "_unreadable"
"""A column that a batch may have besides its table's: the text, as ``column=text; …``, of values
that could not be read as their column's type. Rows where it is not NULL are never published.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetRef:
    """A published table as of one snapshot: what readers may read."""

    table: str
    snapshot: int
    rows: int

    @property
    def ref(self) -> str:
        return ref("snapshot", self.table, self.snapshot)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Rows on an audit branch, not yet seen by any reader.

    `mode` says what publishing does: ``append`` adds the rows, ``replace`` makes them the table.
    `summary` goes into the published snapshot (the cursor is in it, so both commit as one).
    `base` is main's snapshot when the branch was cut, None for a new table.
    """

    dataset: str
    table: str
    branch: str
    run: str
    mode: Literal["append", "replace"]
    rows: int
    base: int | None
    snapshot: int
    summary: Mapping[str, str] = field(default_factory=dict)
    inputs: tuple[str, ...] = ()

    @property
    def ref(self) -> str:
        return ref("batch", self.table, self.run)


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleResult:
    """How one rule fared on one batch. `version` is a digest of the rule's definition."""

    rule: str
    version: str
    scope: Literal["row", "batch"]
    passed: bool
    offenders: int
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationReport:
    """Rows in = rows published + rows quarantined, unless the whole batch is held."""

    batch: str
    dataset: str
    run: str
    held: bool
    rows_in: int
    rows_published: int
    rows_quarantined: int
    rules: tuple[RuleResult, ...]
    profile: Mapping[str, Any]
    published: DatasetRef | None

    @property
    def ref(self) -> str:
        return ref("report", f"{self.run}.validate.{self.dataset}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewPlan:
    """A feature view's version as a model reads it. `ttl_s` is in seconds, None for ever."""

    name: str
    version: int
    table: str
    entity: tuple[str, ...]
    columns: tuple[str, ...]
    ttl_s: float | None = None

    @property
    def ref(self) -> str:
        return ref("features", self.name, self.version)


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureSetRef:
    """A feature view's version after publication: its table's snapshot and the rows added."""

    view: ViewPlan
    snapshot: int | None
    rows_added: int
    online_written: int
    inputs: tuple[str, ...]

    @property
    def ref(self) -> str:
        return self.view.ref


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A named column: Arrow's type as text (``double``, ``int64``, ``string``, …)."""

    name: str
    dtype: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OnDemandPlan:
    """An on-demand feature function: the request columns it reads, the features it gives."""

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FeaturePlan:
    """How a model's feature vector is made, in training and in the gateway alike.

    `columns` is the vector in the model's order; a column of view ``v`` is named ``v__column``,
    one of an on-demand function keeps its own name. `request` lists what a caller must send:
    the row's key, the views' entity columns and the on-demand functions' inputs, with types.
    `key` names the label's key columns (the unit of assignment, and what labels join on).
    """

    columns: tuple[Column, ...]
    views: tuple[ViewPlan, ...]
    on_demand: tuple[OnDemandPlan, ...]
    request: tuple[Column, ...]
    key: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSetRef:
    """A point-in-time training set, as one Parquet file named by its content.

    The file's columns: the plan's key and request columns, ``event_time`` (when the prediction
    would have been made), the plan's feature columns, every slice column, and ``label``.
    Rows are ordered by event time, then key. `as_of` is the moment nothing later was used.
    """

    id: str
    path: str
    rows: int
    label: str
    task: Task
    plan: FeaturePlan
    as_of: datetime
    first: datetime
    last: datetime
    inputs: tuple[str, ...]

    @property
    def ref(self) -> str:
        return ref("training", self.id)


# ---------------------------------------------------------------- model


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
    order. `holdout_from`: rows at or after this event time were not trained on.
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


# ---------------------------------------------------------------- operation


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRef:
    """An OCI image layout on disk. `digest` is the manifest's, ``sha256:…``."""

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
class Route:
    """One arm: an image, the share of units it gets (percent), and the step that put it there."""

    arm: Literal["champion", "candidate"]
    image: ImageRef
    percent: float
    release: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Routes:
    """What the gateway serves for one model. The salt makes assignment sticky per release."""

    model: str
    salt: str
    routes: tuple[Route, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardrailResult:
    """A confidence sequence for candidate minus champion, so far; positive is worse."""

    name: str
    difference: float
    low: float
    high: float
    tolerance: float
    champion_n: int
    candidate_n: int
    state: Literal["safe", "harm", "undecided", "no data"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseDecision:
    """What to do with a release now, and why."""

    release: str
    model: str
    version: int
    step: int
    percent: float
    action: Literal["advance", "promote", "rollback", "hold"]
    reason: str
    guardrails: tuple[GuardrailResult, ...]
    at: datetime


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

    With `train` false the run ends when the data stages have: tables, features, online rows.
    """

    id: str
    reason: str
    trigger: Literal["request", "commit", "data", "breach", "schedule"]
    requested_at: datetime
    cause: str | None = None
    train: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Suppressed:
    """A retraining that did not start, and why not."""

    reason: str
    cause: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """One logged prediction, as it was answered. Times in UTC, latency in microseconds."""

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

    @property
    def ref(self) -> str:
        return ref("prediction", self.id)
