"""The lake: versioned tables with audit branches."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from onward.core.records import Batch, DatasetRef, Delta, Evolution, Mode, Partitions

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import pyarrow as pa
    from ibis.backends.duckdb import Backend

Change = Literal["append", "replace", "upsert", "partitions", "compact", "erase"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """The rows that a batch staged, in their order, to be staged or appended again.

    They have the batch's `columns`, all unless told. Those with the numbers `without` are left
    out, which `Lake.open` gives as the column `ROW`. A lake takes whole files over where it can.
    """

    batch: Batch
    columns: Sequence[str] | None = None
    without: pa.Array | pa.ChunkedArray | None = None


Rows: TypeAlias = "pa.Table | pa.RecordBatchReader | Staged"
"""Rows to be written: a reader is used up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """One commit of a table.

    `change` says what it did to the rows before; a ``compact`` leaves them as they are. `given`
    counts the rows that came with it, also those that an upsert did not take; `rows`, `files` and
    `bytes` are the table's total after it. `summary` is what was said of this commit, `state` what
    was said of the table, by this commit or the last one before it that spoke of the entry.
    `parent` is None for the first snapshot, and where the one before has expired.
    """

    table: str
    id: int
    parent: int | None
    at: datetime
    rows: int
    summary: Mapping[str, str]
    state: Mapping[str, str] = field(default_factory=dict)
    change: Change = "append"
    given: int = 0
    files: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Erased:
    """What an erasure did to a table.

    `rows` left main, of which `snapshot` is then the head, or None where main held none. The
    snapshots `expired` and `branches` held such rows, and are gone with their `files`. `in_flight`
    counts files that no snapshot names, that hold such rows, and that a writer may yet commit.
    """

    table: str
    rows: int
    snapshot: Snapshot | None
    expired: tuple[int, ...]
    branches: tuple[str, ...]
    files: int
    in_flight: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """What a sweep removed from a table: snapshots, branches, and `files` of so many `bytes`.

    `orphans` counts those files that no snapshot named: what crashed writers left.
    """

    table: str
    snapshots: tuple[int, ...]
    branches: tuple[str, ...]
    files: int
    orphans: int
    bytes: int


class Lake(Protocol):
    """Versioned tables with audit branches. Every method is safe to repeat after a crash."""

    def tables(self) -> Sequence[str]:
        """Return every table's name (``namespace.name``), sorted."""
        ...

    def branches(self) -> Mapping[str, Mapping[str, Snapshot]]:
        """Return the heads of all branches but main, by table, of unpublished tables too."""
        ...

    def schema(self, table: str) -> pa.Schema | None:
        """Return main's schema, or None where nothing has been published."""
        ...

    def head(self, table: str, branch: str = "main") -> Snapshot | None:
        """Return the newest snapshot of a branch, or None."""
        ...

    def history(self, table: str) -> Sequence[Snapshot]:
        """Return main's snapshots, oldest first; those that have expired are not there."""
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
        rows: Rows,
        *,
        branch: str,
        mode: Mode,
        summary: Mapping[str, str],
        state: Mapping[str, str] | None = None,
        key: Sequence[str] = (),
        order: str | None = None,
        partitions: Partitions | None = None,
        evolution: Evolution | None = None,
    ) -> Snapshot:
        """Cut `branch` from main (afresh if it exists) and commit `rows` on it, once.

        A key that `publish` is to know the rows by stands in the summary as ``key``. The entries
        of `state` hold until a later commit changes them, and may be long: a snapshot refers to
        those that it does not change. With mode ``upsert`` a row takes the place of main's row
        with the same `key`, unless main's has a greater `order`; of several given rows with one
        key the greatest, then last, is taken. With mode ``partitions`` the rows take the place of
        all that main has in `partitions`. For both, rows that come between in main make it refuse.

        Columns may come with any rows; how else they change says `evolution`. Readers see it when
        the branch is published, and older snapshots keep the columns that they had.

        Raises
        ------
        DataError
            The rows do not fit the published columns (unless they replace all), or cannot be
            stored.
        DivergedError
            Main moved on while the rows were merged into it.
        """
        ...

    def publish(
        self, table: str, branch: str, *, expect: int | None, key: str | None = None
    ) -> Snapshot:
        """Make the branch's rows main's, and drop the branch, in one guarded commit.

        `expect` is main's snapshot when the branch was cut. Publishing what main already holds
        (the same `key`, kept in the snapshot's summary) returns that snapshot.

        Raises
        ------
        DivergedError
            Main's rows are not those that the branch was cut from: more than its files changed.
        NotFoundError
            There is no such branch, and main holds none that was published from it.
        DataError
            The branch was not staged under this `key`.
        """
        ...

    def drop_branch(self, table: str, branch: str) -> None:
        """Forget a branch, if it exists."""
        ...

    def append(
        self,
        table: str,
        rows: Rows,
        *,
        key: str,
        summary: Mapping[str, str] | None = None,
        state: Mapping[str, str] | None = None,
        evolution: Evolution | None = None,
        sought: bool = False,
    ) -> Snapshot | None:
        """Commit trusted rows to main, once per `key`; None if there are none and no table yet.

        A table that begins with rows that are `sought`, which `find` is to look up one by one, is
        kept in parts that are read for one row at little cost. Rows that are alike in what they are
        looked up by had better come together.
        """
        ...

    def read(
        self, table: str, *, snapshot: int | None = None, columns: Sequence[str] | None = None
    ) -> pa.Table:
        """Return a published snapshot's rows (main's newest unless told)."""
        ...

    def find(self, table: str, where: Mapping[str, str | int]) -> pa.Table:
        """Return main's rows whose columns have the values of `where`, each a text or an integer.

        It reads no more than the parts of the table whose bounds let one be there.

        Raises
        ------
        NotFoundError
            Nothing has been published under this name.
        """
        ...

    def metadata(self, table: str) -> str:
        """Return the table's Iceberg metadata, as its file has it, for engines that read tables.

        Raises
        ------
        NotFoundError
            There is no such table.
        """
        ...

    def added(self, table: str, *, after: int | None, upto: int) -> Delta | None:
        """Return the rows that main gained after snapshot `after` (None: all) up to `upto`.

        None where that is not the whole difference (rows were also replaced, changed or erased
        between the two), and where it cannot be told any more, because snapshots expired. What
        reads the table bit by bit then reads `upto` whole.
        """
        ...

    def compact(self, table: str, *, every: int) -> Snapshot | None:
        """Rewrite main's small files as few, once there are more than `every`; same rows.

        The state carries on, and history stays as it is. A branch that was cut before can still
        be published. None if there was nothing to do or another writer was faster.
        """
        ...

    def sweep(
        self,
        table: str,
        *,
        snapshots: Collection[int],
        branches: Collection[str],
        before: datetime,
    ) -> Swept:
        """Let `snapshots` and `branches` go, and delete the files that nothing else needs.

        With them goes what was abandoned before `before`: rows staged on branches that are gone,
        and files of no snapshot. The heads of main and of branches that stay are never dropped.
        A commit stays known by its key. Safe beside writers as long as none takes longer from
        its first file to its commit than since `before`; repeating it finishes what a crash cut
        short.
        """
        ...

    def weigh(
        self,
        table: str,
        *,
        snapshots: Collection[int],
        branches: Collection[str],
        before: datetime,
    ) -> Swept:
        """Tell what `sweep` would do, and change nothing."""
        ...

    def erase(
        self, table: str, where: Callable[[ir.Table], ir.BooleanValue], *, orphaned_before: datetime
    ) -> Erased:
        """Take the rows for which `where` is true out of the table, and off the disk.

        `where` is an Ibis expression on ``_``, or a function of the table, over all columns that
        the table has or once had. Main is rewritten without the rows; then every snapshot and
        branch that still holds one expires, other rows with it, and the files are deleted.
        Files of no snapshot that were written before `orphaned_before` are deleted too.
        Repeating it finishes what a crash cut short.

        Raises
        ------
        NotFoundError
            There is no such table, or `where` names a column that it never had.
        BusyError
            Other writers keep adding such rows.
        """
        ...

    def open(
        self,
        datasets: Mapping[str, DatasetRef | Batch | Delta | pa.Table],
        *,
        numbered: str | None = None,
    ) -> AbstractContextManager[Backend]:
        """Open a DuckDB-backed Ibis connection in which each name is a table.

        A `DatasetRef` shows that snapshot; a `Batch` only the rows that the batch added; a
        `Delta` only the rows gained between its snapshots. The batch of the name `numbered` has
        the column `ROW` besides.
        """
        ...
