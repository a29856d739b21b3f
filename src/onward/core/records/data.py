"""Records of the data stages: batches, datasets, audits, features, training sets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

from onward.core.declarations import Task
from onward.core.records.masks import Mask
from onward.core.refs import ref

UNREADABLE: Final = "_unreadable"
"""A column that a batch may have besides its table's: the text, as ``column=text; …``, of values
that could not be read as their column's type. Rows where it is not NULL are never published.
"""


Mode = Literal["append", "replace", "upsert"]
"""What publishing does: add the rows, make them the table, or replace rows with the same key."""


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
class Delta:
    """The rows that a table gained after one snapshot, up to another.

    `after` is None for all rows up to `upto`.
    """

    table: str
    after: int | None
    upto: int
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Rows on an audit branch, not yet seen by any reader.

    `mode` says what publishing does; an ``upsert`` goes by the columns `key`, and of two rows with
    one key keeps the one with the greater `order`. On the branch are all rows that came.
    `summary` goes into the published snapshot, and so do the changes of the table's `state` (the
    cursor is in it, so that rows and cursor commit as one). `base` is main's snapshot when the
    branch was cut, None for a new table.
    """

    dataset: str
    table: str
    branch: str
    run: str
    mode: Mode
    rows: int
    base: int | None
    snapshot: int
    summary: Mapping[str, str] = field(default_factory=dict)
    state: Mapping[str, str] = field(default_factory=dict)
    inputs: tuple[str, ...] = ()
    key: tuple[str, ...] = ()
    order: str | None = None

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
    """Rows in = rows published + rows quarantined, unless the whole batch is held.

    `quarantine` is the quarantine with this batch's offenders, None without any.
    """

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
    quarantine: DatasetRef | None = None

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
    """A named column: Arrow's type as text (``double``, ``int64``, ``string``, …).

    A request column with a `mask` may be sent as it is: who reads it masks it first.
    """

    name: str
    dtype: str
    mask: Mask | None = None


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
