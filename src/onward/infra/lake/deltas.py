"""Deltas: the rows that a table gained between two of its snapshots."""

from __future__ import annotations

from collections.abc import Sequence

from pyiceberg.manifest import DataFile
from pyiceberg.table import FileScanTask, Table
from pyiceberg.table.snapshots import Operation

from onward.core.errors import NotFoundError
from onward.core.records import Delta
from onward.infra.lake import views
from onward.infra.lake.commit import added_files
from onward.infra.lake.snapshots import CHANGE, mark


def added(table: Table, *, after: int | None, upto: int) -> Delta | None:
    """Return the rows gained after `after` up to `upto`; None where rows also went or changed."""
    files = _gained(table, after, upto)
    if files is None:
        return None
    rows = sum(file.record_count for file in files)
    return Delta(table=".".join(table.name()), after=after, upto=upto, rows=rows)


def plan_delta(table: Table, delta: Delta) -> views.Plan:
    """Return the columns of a delta's newest snapshot, and the files with its rows.

    Raises
    ------
    NotFoundError
        What happened between the two snapshots is not known any more.
    """
    files = _gained(table, delta.after, delta.upto)
    if files is None:
        raise NotFoundError(
            f"the rows that {delta.table} gained between snapshots {delta.after} and {delta.upto} "
            "cannot be told any more",
            expected="both snapshots, and nothing but rows added between them",
            next_step="read the whole snapshot instead",
        )
    schema = table.scan(snapshot_id=delta.upto).projection()
    return schema, [FileScanTask(file) for file in files]


def _gained(table: Table, after: int | None, upto: int) -> Sequence[DataFile] | None:
    if table.metadata.snapshot_by_id(upto) is None:
        return None
    files = _appended(table, after, upto)
    return _not_there_before(table, after, upto) if files is None else files


def _appended(table: Table, after: int | None, upto: int) -> Sequence[DataFile] | None:
    """Walk back from `upto` over appends, and over rewrites of files; None if there is else."""
    files: list[DataFile] = []
    at: int | None = upto
    while at is not None and at != after:
        snapshot = table.metadata.snapshot_by_id(at)
        if snapshot is None or snapshot.summary is None:
            return None
        if mark(snapshot, CHANGE) != "compact":
            if snapshot.summary.operation is not Operation.APPEND:
                return None
            files += added_files(table, snapshot)
        at = snapshot.parent_snapshot_id
    return files if at == after else None


def _not_there_before(table: Table, after: int | None, upto: int) -> Sequence[DataFile] | None:
    """Compare the two ends, which tells as much where every file of the first is still there."""
    if after is None:
        return [task.file for task in views.plan(table, upto)[1]]
    if table.metadata.snapshot_by_id(after) is None:
        return None
    before, now = views.plan(table, after)[1], views.plan(table, upto)[1]
    if any(task.delete_files for task in (*before, *now)):
        return None
    paths = {task.file.file_path for task in before}
    files = [task.file for task in now if task.file.file_path not in paths]
    return files if len(files) == len(now) - len(before) else None
