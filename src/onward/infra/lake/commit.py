"""Commits that race: data files are written once, the commit is tried until it lands."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import pyarrow as pa
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.expressions import AlwaysTrue
from pyiceberg.manifest import DataFile, ManifestEntryStatus
from pyiceberg.schema import Schema
from pyiceberg.table import Table, Transaction
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.refs import MAIN_BRANCH, SnapshotRefType
from pyiceberg.table.snapshots import Operation, Snapshot
from pyiceberg.table.update import (
    AssertRefSnapshotId,
    RemoveSchemasUpdate,
    RemoveSnapshotRefUpdate,
    SetCurrentSchemaUpdate,
    SetSnapshotRefUpdate,
    TableUpdate,
)

from onward.core.errors import BusyError
from onward.core.records import Evolution
from onward.infra.lake.columns import evolve
from onward.infra.lake.files import remove
from onward.infra.lake.snapshots import CHANGE, REWRITTEN, carried, mark
from onward.infra.lake.writing import data_files

if TYPE_CHECKING:
    from pyiceberg.table.update.snapshot import _OverwriteFiles, _SnapshotProducer

_FILE_BYTES = 256 << 20  # of rows as Arrow per data file

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Written:
    """Data files on disk that no snapshot names yet, and the columns that they were written for.

    `base` is the table's schema id before, `schema` what its columns become: the files carry
    its field ids.
    """

    files: tuple[DataFile, ...]
    target: pa.Schema
    schema: Schema
    base: int
    evolution: Evolution | None = None

    @property
    def rows(self) -> int:
        """How many rows the files hold."""
        return sum(file.record_count for file in self.files)


class _Transaction(Transaction):
    """A transaction that applies its updates once.

    PyIceberg copies the whole metadata, every snapshot in it, each of the fifteen times that a
    commit looks at it: half of an append's time after a hundred commits.
    """

    _applied: tuple[tuple[TableUpdate, ...], TableMetadata] | None = None

    @property
    def table_metadata(self) -> TableMetadata:
        if not self._updates:
            return self._table.metadata
        if self._applied is None or self._applied[0] is not self._updates:
            self._applied = (self._updates, super().table_metadata)
        return self._applied[1]


def optimistic(table: Table, attempt: Callable[[Table], T], attempts: int = 200) -> T:
    """Run `attempt` on the table, loaded anew each further time, until no writer came between.

    Raises
    ------
    BusyError
        Other writers won every time.
    """
    for turn in range(attempts):
        try:
            return attempt(table)
        except CommitFailedException:
            now = table.catalog.load_table(table.name())
        except ValueError:
            # A commit on another ref takes the next sequence number: PyIceberg calls that a
            # ValueError, although it is a lost race like any other.
            now = table.catalog.load_table(table.name())
            if now.metadata_location == table.metadata_location:
                raise
        table = now
        time.sleep(random.uniform(0, min(0.5, 0.01 * 2 ** min(turn, 8))))
    raise BusyError(
        f"other writers kept committing to {'.'.join(table.name())}",
        next_step="run the same command again: nothing was lost, and nothing is written twice",
    )


def write(
    table: Table,
    target: pa.Schema,
    batches: Iterator[pa.RecordBatch],
    evolution: Evolution | None = None,
) -> Written:
    """Write the batches as data files for a table whose columns will be `target`.

    Where the batches end in an error, what is written by then is removed.
    """
    metadata = evolved(table, target, evolution)
    files: list[DataFile] = []
    try:
        for file in data_files(table.io, metadata, batches, _FILE_BYTES):
            files.append(file)  # noqa: PERF402 (what is written so far must be known)
    except BaseException:
        with suppress(OSError):
            remove(table, (file.file_path for file in files))
        raise
    base = table.metadata.current_schema_id
    return Written(tuple(files), target, metadata.schema(), base, evolution)


def evolved(table: Table, target: pa.Schema, evolution: Evolution | None) -> TableMetadata:
    """Return the table's metadata as it will be with the columns `target`."""
    transaction = _Transaction(table)
    evolve(transaction, target, evolution)
    return transaction.table_metadata


def add(
    table: Table,
    written: Written,
    *,
    branch: str,
    without: Sequence[DataFile] = (),
    properties: Mapping[str, str],
) -> Snapshot:
    """Commit one snapshot on main's head, with the files, as the head of `branch`.

    The files `without`, all of main's head, are no longer in it. Main's state carries on where
    `properties` do not change it. On another branch than main the table's current schema stays
    what it is: readers see new columns when the branch is published.
    """
    before = table.metadata
    head = before.current_snapshot()
    transaction = _Transaction(table)
    evolve(transaction, written.target, written.evolution)
    columns = transaction.table_metadata.schema().as_struct()
    if written.base != before.current_schema_id or columns != written.schema.as_struct():
        raise BusyError(
            f"another writer changed the columns of {'.'.join(table.name())} at the same time",
            next_step="run the same command again: nothing was written",
        )
    # On branch None the snapshot gets main's head as its parent, and no ref moves yet.
    entries = {**carried(head), **properties}
    update = transaction.update_snapshot(snapshot_properties=entries, branch=None)
    snapshot = _put(
        _removing(update.overwrite(), without) if without else update.merge_append(), written.files
    )
    updates: tuple[TableUpdate, ...] = (_move(branch, snapshot),)
    if branch != MAIN_BRANCH and head is not None:
        updates += (_columns_of(before.current_schema_id),)
    if not before.snapshots:
        updates += _without_columns_of_no_rows(transaction.table_metadata)
    return _commit(transaction, updates, head, snapshot)


def fast_forward(table: Table, branch: str) -> Snapshot:
    """Commit main := the branch's head, with its columns, and forget the branch; all at once."""
    snapshot = table.metadata.snapshot_by_name(branch)
    assert snapshot is not None
    assert snapshot.schema_id is not None
    updates = (
        _columns_of(snapshot.schema_id),
        _move(MAIN_BRANCH, snapshot.snapshot_id),
        removal(branch),
    )
    head = table.metadata.current_snapshot()
    return _commit(_Transaction(table), updates, head, snapshot.snapshot_id)


def can_rebase(staged: Snapshot) -> bool:
    """Tell whether `staged` does to any files what it did to those that it was staged on."""
    assert staged.summary is not None
    return staged.summary.operation is Operation.APPEND or mark(staged, CHANGE) == "replace"


def rebase(table: Table, branch: str, staged: Snapshot) -> Snapshot:
    """Commit what `staged` did to the table once more, on main as it is now; forget the branch."""
    assert staged.schema_id is not None
    assert staged.summary is not None
    transaction = _Transaction(table)
    transaction._apply((_columns_of(staged.schema_id),))  # noqa: SLF001 (as in `_commit`)
    own = {**carried(table.current_snapshot()), **staged.summary.additional_properties}
    entries = {name: value for name, value in own.items() if name.startswith("onward")}
    update = transaction.update_snapshot(snapshot_properties=entries, branch=None)
    appends = staged.summary.operation is Operation.APPEND
    producer = update.merge_append() if appends else _removing(update.overwrite(), files(table))
    snapshot = _put(producer, added_files(table, staged))
    updates = (_move(MAIN_BRANCH, snapshot), removal(branch))
    return _commit(transaction, updates, table.metadata.current_snapshot(), snapshot)


def forget(table: Table, branch: str) -> None:
    """Commit the removal of a branch."""
    table.catalog.commit_table(table, (), (removal(branch),))


def files(table: Table) -> Sequence[DataFile]:
    """Return the data files of main's head."""
    head = table.current_snapshot()
    return (
        []
        if head is None
        else [task.file for task in table.scan(snapshot_id=head.snapshot_id).plan_files()]
    )


def added_files(table: Table, snapshot: Snapshot) -> Sequence[DataFile]:
    """Return the data files with rows that a snapshot added, without those it rewrote."""
    rewritten = set((mark(snapshot, REWRITTEN) or "").split())
    return [
        entry.data_file
        for manifest in snapshot.manifests(table.io)
        if manifest.added_snapshot_id == snapshot.snapshot_id
        for entry in manifest.fetch_manifest_entry(table.io)
        if entry.status == ManifestEntryStatus.ADDED and _name(entry.data_file) not in rewritten
    ]


def rewriting(written: Written, rewritten: Written) -> tuple[Written, dict[str, str]]:
    """Return both as one, and the mark that tells which files hold rows that were there before."""
    names = " ".join(_name(file) for file in rewritten.files)
    return replace(written, files=rewritten.files + written.files), {REWRITTEN: names}


def _name(file: DataFile) -> str:
    return file.file_path.rpartition("/")[2]


def _removing(producer: _OverwriteFiles, files: Sequence[DataFile]) -> _OverwriteFiles:
    producer.delete_by_predicate(AlwaysTrue())  # which manifests to look in, not what to delete
    for file in files:
        producer.delete_data_file(file)
    return producer


def _put(producer: _SnapshotProducer[Any], files: Sequence[DataFile]) -> int:
    with producer:
        for file in files:
            producer.append_data_file(file)
    return producer.snapshot_id


# PyIceberg's models are built from the specification's own field names: that alone type-checks.
def _move(branch: str, snapshot: int) -> SetSnapshotRefUpdate:
    return SetSnapshotRefUpdate.model_validate(
        {"ref-name": branch, "type": SnapshotRefType.BRANCH, "snapshot-id": snapshot}
    )


def removal(branch: str) -> RemoveSnapshotRefUpdate:
    """Return the update that forgets a branch."""
    return RemoveSnapshotRefUpdate.model_validate({"ref-name": branch})


def _columns_of(schema: int) -> SetCurrentSchemaUpdate:
    return SetCurrentSchemaUpdate.model_validate({"schema-id": schema})


def _without_columns_of_no_rows(metadata: TableMetadata) -> tuple[TableUpdate, ...]:
    """Return what forgets the columns of a table's creation, where the first rows have others.

    Rows whose writing ended in an error leave a table with their columns and no snapshot.
    """
    unused = [s.schema_id for s in metadata.schemas if s.schema_id != metadata.current_schema_id]
    return (RemoveSchemasUpdate.model_validate({"schema-ids": unused}),) if unused else ()


def _commit(
    transaction: Transaction, updates: tuple[TableUpdate, ...], main: Snapshot | None, landed: int
) -> Snapshot:
    requirement = AssertRefSnapshotId.model_validate(
        {"ref": MAIN_BRANCH, "snapshot-id": main.snapshot_id if main else None}
    )
    # Transaction offers no public verb for a guarded move of several refs in one commit.
    transaction._apply(updates, (requirement,))  # noqa: SLF001 (as said)
    snapshot = transaction.commit_transaction().metadata.snapshot_by_id(landed)
    assert snapshot is not None
    return snapshot
