"""Ports that more than one room uses. A port that one room uses lives in that room.

Arrow is the interchange format between ports (`pyarrow` appears in annotations only), and an
Ibis backend is how a room asks the lake a question.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

from onward.core.events import Event, Recorded
from onward.core.records import Batch, DatasetRef, FeaturePlan, ImageRef, ViewPlan

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from ibis.backends.duckdb import Backend

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """One commit of a table. `rows` is the table's total after it."""

    table: str
    id: int
    parent: int | None
    at: datetime
    rows: int
    summary: Mapping[str, str]


class Lake(Protocol):
    """Versioned tables with audit branches. Every method is safe to repeat after a crash."""

    def tables(self) -> Sequence[str]:
        """Return every table's name (``namespace.name``), sorted."""
        ...

    def schema(self, table: str) -> pa.Schema | None:
        """Return main's schema, or None where nothing has been published."""
        ...

    def head(self, table: str, branch: str = "main") -> Snapshot | None:
        """Return the newest snapshot of a branch, or None."""
        ...

    def history(self, table: str) -> Sequence[Snapshot]:
        """Return main's snapshots, oldest first."""
        ...

    def dataset(self, table: str) -> DatasetRef:
        """Return main's newest snapshot as a record.

        Raises
        ------
        NotFoundError
            Nothing has been published under this name.
        """
        ...

    def stage(
        self,
        table: str,
        rows: pa.Table | pa.RecordBatchReader,
        *,
        branch: str,
        mode: Literal["append", "replace"],
        summary: Mapping[str, str],
    ) -> Snapshot:
        """Cut `branch` from main (afresh if it exists) and commit `rows` on it, once.

        A key that `publish` is to know the rows by stands in the summary as ``key``.
        """
        ...

    def publish(
        self, table: str, branch: str, *, expect: int | None, key: str | None = None
    ) -> Snapshot:
        """Make the branch's head main's head, and drop the branch, in one guarded commit.

        `expect` is main's snapshot when the branch was cut. Publishing what main already holds
        (the same `key`, kept in the snapshot's summary) returns that snapshot.

        Raises
        ------
        DivergedError
            Main is no ancestor of the branch any more.
        """
        ...

    def drop_branch(self, table: str, branch: str) -> None:
        """Forget a branch, if it exists."""
        ...

    def append(
        self,
        table: str,
        rows: pa.Table | pa.RecordBatchReader,
        *,
        key: str,
        summary: Mapping[str, str] | None = None,
    ) -> Snapshot | None:
        """Commit trusted rows to main, once per `key`; None if there are none and no table yet."""
        ...

    def read(
        self, table: str, *, snapshot: int | None = None, columns: Sequence[str] | None = None
    ) -> pa.Table:
        """Return a published snapshot's rows (main's newest unless told)."""
        ...

    def compact(self, table: str, *, every: int) -> Snapshot | None:
        """Rewrite main's small files as few, once there are more than `every`; same rows.

        The snapshot carries main's summary on, without its ``key``; history stays as it is. None
        if there was nothing to do or another writer was faster.
        """
        ...

    def open(
        self, datasets: Mapping[str, DatasetRef | Batch | pa.Table]
    ) -> AbstractContextManager[Backend]:
        """Open a DuckDB-backed Ibis connection in which each name is a table.

        A `DatasetRef` shows that snapshot; a `Batch` shows only the rows that the batch added.
        """
        ...


class OnlineStore(Protocol):
    """The newest feature row per view version and entity."""

    def write(self, view: ViewPlan, rows: pa.Table, *, mark: str | None = None) -> int:
        """Upsert rows (entity columns, ``event_time``, features); return how many were newer.

        An older row never overwrites a newer one. `mark` says how far the view is written now,
        in the writer's own words; it commits with the rows.
        """
        ...

    def mark(self, view: ViewPlan) -> str | None:
        """Return the mark that the view's last marked write left, or None."""
        ...

    def read(
        self, view: ViewPlan, entities: Sequence[tuple[Any, ...]], at: datetime
    ) -> Sequence[tuple[Any, ...] | None]:
        """Return each entity's features in `view.columns` order; None if missing or past TTL."""
        ...

    def close(self) -> None: ...


class RequestFeatures(Protocol):
    """A model's on-demand features: one object for training and for the gateway, pickled with it.

    The features room makes it; who serves a model calls it through this port.
    """

    @property
    def plan(self) -> FeaturePlan: ...

    def columns(self, request: Mapping[str, Sequence[Any]]) -> Mapping[str, np.ndarray]:
        """Compute every on-demand feature for n rows given as columns of request values.

        Values may be JSON's (text for times) or already typed. Returns arrays of shape (n,),
        float64 for ``double`` columns and object (str or None) for ``string`` columns.

        Raises
        ------
        DataError
            A request column is missing or a value is not of its declared type.
        """
        ...


class Ledger(Protocol):
    """The append-only event table, each event hashed over the one before."""

    def append(self, event: Event) -> Recorded:
        """Record an event; one with the same kind and key is returned as it stands."""
        ...

    def events(
        self,
        *,
        kind: str | None = None,
        subject: str | None = None,
        run: str | None = None,
        after: int = 0,
        newest_first: bool = False,
        limit: int | None = None,
    ) -> Sequence[Recorded]:
        """Return events that match, by sequence."""
        ...

    def producing(
        self, ref: str, *, before: int | None = None, last: int | None = None
    ) -> Sequence[Recorded]:
        """Return the events that name `ref` among their outputs, by sequence.

        Only those before the sequence number `before`, and of them the `last` so many.
        """
        ...

    def consuming(self, ref: str) -> Sequence[Recorded]:
        """Return the events that name `ref` among their inputs, by sequence."""
        ...

    def refs(self, prefix: str, *, limit: int | None = None) -> Sequence[str]:
        """Return the refs that begin with `prefix` and that some event names, sorted."""
        ...

    def verify(self) -> int:
        """Check the whole chain against its checkpoints; return the number of events.

        Raises
        ------
        CorruptError
            An event was altered, removed, or cut off the end.
        """
        ...


class Compute(Protocol):
    """Where heavy functions run: a process of its own here, a cluster elsewhere."""

    def run(self, function: Callable[..., T], /, *args: Any, name: str, **kwargs: Any) -> T:
        """Run `function` in a fresh process with fixed seeds and return what it returns.

        Function and arguments travel by value (cloudpickle), the user's module included. An
        `OnwardError` raised there is raised here; any other exception becomes one that carries
        the remote traceback's last lines.
        """
        ...


class Tracker(Protocol):
    """Experiments and runs, in MLflow's terms."""

    def log_run(
        self,
        *,
        experiment: str,
        name: str,
        key: str,
        parameters: Mapping[str, Any],
        metrics: Mapping[str, float],
        tags: Mapping[str, str],
        artifacts: Path | None = None,
    ) -> str:
        """Log a finished run, once per `key`; return its id."""
        ...

    def log_metrics(self, run: str, metrics: Mapping[str, float]) -> None:
        """Add metrics to a run that was logged before."""
        ...


class Server(Protocol):
    """A gateway that was started."""

    @property
    def url(self) -> str:
        """``http://host:port``, without a trailing slash."""
        ...

    @property
    def pid(self) -> int: ...

    def alive(self) -> bool: ...

    def stop(self) -> None:
        """Drain and end it; wait until it is gone."""
        ...


class Servers(Protocol):
    """Starts gateways."""

    def start_staging(self, image: ImageRef, folder: Path) -> Server:
        """Serve one image alone on a free port, its log and state under `folder`."""
        ...


class Steps(Protocol):
    """What a durable workflow's body is given: steps whose results outlive a crash."""

    def __call__(self, name: str, function: Callable[..., T], /, *args: Any) -> T:
        """Run `function` unless this step has a recorded result, then return that."""
        ...


class Workflows(Protocol):
    """Durable workflows, one at a time."""

    def run(self, workflow_id: str, *args: Any) -> Any:
        """Run the body to its end; the same id resumes or returns the recorded result.

        An id that failed goes on with the step that raised.
        """
        ...

    def pending(self) -> Sequence[str]:
        """Return the ids of workflows that were begun and cut short, oldest first."""
        ...

    def close(self) -> None: ...
