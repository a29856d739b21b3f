"""Commits that race: data files are written once, the commit is tried until it lands."""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

import pyarrow as pa
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.expressions import AlwaysTrue
from pyiceberg.io.pyarrow import bin_pack_record_batches, write_file
from pyiceberg.manifest import DataFile
from pyiceberg.schema import Schema
from pyiceberg.table import Table, Transaction, WriteTask
from pyiceberg.table.refs import MAIN_BRANCH, SnapshotRefType
from pyiceberg.table.snapshots import Snapshot, ancestors_of
from pyiceberg.table.update import (
    AssertRefSnapshotId,
    RemoveSnapshotRefUpdate,
    SetCurrentSchemaUpdate,
    SetSnapshotRefUpdate,
    TableUpdate,
)

from onward.core.errors import BusyError
from onward.infra.lake.columns import evolve

PREFIX = "onward."
"""Before the caller's keys in a snapshot's summary, apart from Iceberg's own."""

BRANCH = "onward-branch"
"""The summary key under which a snapshot keeps the branch that it was staged on."""

_FILE_BYTES = 256 << 20  # of Arrow in memory per data file: bounds what a streamed write holds
_ATTEMPTS = 200

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


def optimistic(load: Callable[[], Table], attempt: Callable[[Table], T]) -> T:
    """Run `attempt` on a freshly loaded table until no other writer has come between.

    Raises
    ------
    BusyError
        Other writers won every time.
    """
    for turn in range(_ATTEMPTS):
        table = load()
        try:
            return attempt(table)
        except CommitFailedException:
            pass
        except ValueError:
            # A commit on another ref takes the next sequence number: PyIceberg calls that a
            # ValueError, although it is a lost race like any other.
            if load().metadata_location == table.metadata_location:
                raise
        time.sleep(random.uniform(0, min(0.5, 0.01 * 2 ** min(turn, 8))))
    raise BusyError(
        f"other writers kept committing to {'.'.join(table.name())}",
        next_step="run the same command again: nothing was lost, and nothing is written twice",
    )


def write(table: Table, target: pa.Schema, batches: Iterator[pa.RecordBatch]) -> Written:
    """Write the batches as data files for a table whose columns will be `target`."""
    transaction = table.transaction()
    evolve(transaction, target)
    metadata = transaction.table_metadata
    identity = uuid.uuid4()
    schema = metadata.schema()
    files: list[DataFile] = []
    for packed in bin_pack_record_batches(batches, _FILE_BYTES):
        # One task at a time: given them all, write_file would hold every batch in its queue.
        task = WriteTask(identity, len(files), schema=schema, record_batches=packed)
        files += write_file(table.io, metadata, iter([task]))
    return Written(tuple(files), target, schema, table.metadata.current_schema_id)


def add(
    table: Table,
    written: Written,
    *,
    branch: str,
    replace: bool,
    properties: Mapping[str, str],
) -> Snapshot:
    """Commit one snapshot on main's head, with the files, as the head of `branch`.

    On another branch than main the table's current schema stays what it is: readers see new
    columns when the branch is published.
    """
    before = table.metadata
    transaction = table.transaction()
    evolve(transaction, written.target)
    columns = transaction.table_metadata.schema().as_struct()
    if written.base != before.current_schema_id or columns != written.schema.as_struct():
        raise BusyError(
            f"another writer changed the columns of {'.'.join(table.name())} at the same time",
            next_step="run the same command again: nothing was written",
        )
    update = transaction.update_snapshot(snapshot_properties=dict(properties), branch=None)
    head = before.current_snapshot()
    if replace and head is not None:
        producer = update.overwrite()
        producer.delete_by_predicate(AlwaysTrue())
        for task in table.scan(snapshot_id=head.snapshot_id).plan_files():
            producer.delete_data_file(task.file)
    else:
        producer = update.fast_append()
    with producer:
        for file in written.files:
            producer.append_data_file(file)
    updates: tuple[TableUpdate, ...] = (_move(branch, producer.snapshot_id),)
    if branch != MAIN_BRANCH and head is not None:
        updates += (SetCurrentSchemaUpdate(schema_id=before.current_schema_id),)
    return _commit(transaction, updates, head, producer.snapshot_id)


def fast_forward(table: Table, branch: str) -> Snapshot:
    """Commit main := the branch's head, with its columns, and forget the branch; all at once."""
    snapshot = table.metadata.snapshot_by_name(branch)
    assert snapshot is not None
    assert snapshot.schema_id is not None
    updates = (
        SetCurrentSchemaUpdate(schema_id=snapshot.schema_id),
        _move(MAIN_BRANCH, snapshot.snapshot_id),
        RemoveSnapshotRefUpdate(ref_name=branch),
    )
    head = table.metadata.current_snapshot()
    return _commit(table.transaction(), updates, head, snapshot.snapshot_id)


def forget(table: Table, branch: str) -> None:
    """Commit the removal of a branch."""
    table.catalog.commit_table(table, (), (RemoveSnapshotRefUpdate(ref_name=branch),))


def ancestry(table: Table, head: Snapshot | None) -> Iterator[Snapshot]:
    """Yield a snapshot and its ancestors, newest first."""
    return ancestors_of(head, table.metadata) if head is not None else iter(())


def _move(branch: str, snapshot: int) -> SetSnapshotRefUpdate:
    return SetSnapshotRefUpdate(ref_name=branch, type=SnapshotRefType.BRANCH, snapshot_id=snapshot)


def _commit(
    transaction: Transaction, updates: tuple[TableUpdate, ...], main: Snapshot | None, landed: int
) -> Snapshot:
    requirement = AssertRefSnapshotId(ref=MAIN_BRANCH, snapshot_id=main and main.snapshot_id)
    # Transaction offers no public verb for a guarded move of several refs in one commit.
    transaction._apply(updates, (requirement,))  # noqa: SLF001
    snapshot = transaction.commit_transaction().metadata.snapshot_by_id(landed)
    assert snapshot is not None
    return snapshot
