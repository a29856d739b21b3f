"""The lake: versioned tables with audit branches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from onward.core.records import Batch, DatasetRef, Mode

if TYPE_CHECKING:
    import pyarrow as pa
    from ibis.backends.duckdb import Backend


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
        mode: Mode,
        summary: Mapping[str, str],
        key: Sequence[str] = (),
        order: str | None = None,
    ) -> Snapshot:
        """Cut `branch` from main (afresh if it exists) and commit `rows` on it, once.

        A key that `publish` is to know the rows by stands in the summary as ``key``. With mode
        ``upsert`` a row takes the place of main's row with the same `key`, unless main's has a
        greater `order`; of several given rows with one key the greatest, then last, is taken.
        Rows that come between in main make it refuse.

        Raises
        ------
        DivergedError
            Main moved on while the rows were merged into it.
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
