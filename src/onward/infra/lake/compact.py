"""Compaction: many small data files become few, in one snapshot with the same rows."""

from __future__ import annotations

from pyiceberg.table import Table
from pyiceberg.table.refs import MAIN_BRANCH
from pyiceberg.table.snapshots import Snapshot

from onward.core.errors import BusyError
from onward.infra.lake import columns, commit, files
from onward.infra.lake.scan import scanned
from onward.infra.lake.snapshots import CHANGE

_SMALL_BYTES = 32 << 20


def compact(table: Table, every: int) -> Snapshot | None:
    """Rewrite main's files under 32 MiB, if more than `every`; None if not done.

    Files that are large already stay as they are, so that a row is rewritten a bounded number of
    times. A writer that comes between wins: what was rewritten is then thrown away.
    """
    head = table.current_snapshot()
    if head is None:
        return None
    tasks = list(table.scan(snapshot_id=head.snapshot_id).plan_files())
    small = [task for task in tasks if task.file.file_size_in_bytes < _SMALL_BYTES]
    if len(small) <= every or any(task.delete_files for task in small):
        return None
    target = columns.of_iceberg(table.schema())
    rows = (batch for _, batch in scanned(table, table.schema(), small))
    written = commit.write(table, target, columns.cast(rows, target, "compaction"))
    without = [task.file for task in small]

    def attempt(now: Table) -> Snapshot:
        said = {CHANGE: "compact"}
        return commit.add(now, written, branch=MAIN_BRANCH, without=without, properties=said)

    try:
        return commit.optimistic(table, attempt, attempts=1)
    except BusyError:
        files.remove(table, [file.file_path for file in written.files])
        return None
