"""Records of features: views as models read them, plans, training sets."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from onward.core.declarations import Task
from onward.core.records.masks import Mask
from onward.core.refs import ref

OnMissing = Literal["null", "default", "error"]
OnStale = Literal["null", "default", "error", "last"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewPlan:
    """A feature view's version as a model reads it, in training and in the gateway alike.

    Parameters
    ----------
    ttl_s
        How old a row may be, by its event time, in seconds; None for ever.
    on_missing
        What an entity without a row gets: ``null`` (no values), ``default`` (`defaults`), or
        ``error``: no answer. A training row that would get no answer is left out.
    on_stale
        What an entity gets whose newest row is older than `ttl_s`: the same, or ``last``, that row.
    defaults
        A value for each of `columns`, None where none was declared; empty if none was for any.
    """

    name: str
    version: int
    table: str
    entity: tuple[str, ...]
    columns: tuple[str, ...]
    ttl_s: float | None = None
    on_missing: OnMissing = "null"
    on_stale: OnStale = "null"
    defaults: tuple[float | str | None, ...] = ()

    @property
    def ref(self) -> str:
        return ref("features", self.name, self.version)


@dataclass(frozen=True, slots=True, kw_only=True)
class Materialized:
    """How far a view's version is written to the online store.

    Parameters
    ----------
    snapshot
        The snapshot of the view's table whose newest rows were written.
    at
        When: rows known later are not among them.
    newest
        The newest event time among the rows written so far; None before the first row.
    """

    snapshot: int
    at: datetime
    newest: datetime | None


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

    A request column with a `mask` may be sent as it is: who reads it masks it first. One that is
    `personal` says whom a request is about.
    """

    name: str
    dtype: str
    mask: Mask | None = None
    personal: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class OnDemandPlan:
    """An on-demand feature function: the request columns it reads, the features it gives.

    `features` are the views' features that it reads beside the request, named ``view__feature``.
    """

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    features: tuple[Column, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FeaturePlan:
    """How a model's feature vector is made, in training and in the gateway alike.

    `columns` is the vector in the model's order; a column of view ``v`` is named ``v__column``,
    one of an on-demand function keeps its own name. `request` lists what a caller must send:
    the row's key, the views' entity columns and the on-demand functions' inputs, with types.
    `key` names the label's key columns (the unit of assignment, and what labels join on).
    `views` are those of the vector, and those of which only on-demand functions read features.
    """

    columns: tuple[Column, ...]
    views: tuple[ViewPlan, ...]
    on_demand: tuple[OnDemandPlan, ...]
    request: tuple[Column, ...]
    key: tuple[str, ...]

    @property
    def read(self) -> tuple[Column, ...]:
        """The views' features that on-demand functions read, each once."""
        return tuple(dict.fromkeys(c for part in self.on_demand for c in part.features))

    @property
    def beside(self) -> tuple[Column, ...]:
        """Those of `read` that are not in the vector."""
        vector = {column.name for column in self.columns}
        return tuple(column for column in self.read if column.name not in vector)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSetRef:
    """A point-in-time training set, as one Parquet file named by its content.

    The file's columns: the plan's key and request columns, ``event_time`` (when the prediction
    would have been made), the plan's feature columns, what only its on-demand functions read of
    views (`FeaturePlan.beside`), every slice column, and ``label``.
    Rows are ordered by event time, then key. `as_of` is the moment nothing later was used.
    `left_out` is how many labelled rows would get no answer, by their views' ``error`` policies.
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
    left_out: int = 0

    @property
    def ref(self) -> str:
        return ref("training", self.id)
