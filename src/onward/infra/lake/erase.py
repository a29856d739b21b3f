"""Erasure: rows that match leave main, every older snapshot and branch, and the disk."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pyarrow as pa
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
from pyiceberg.schema import Schema
from pyiceberg.table import FileScanTask, Table
from pyiceberg.table.refs import MAIN_BRANCH
from pyiceberg.table.snapshots import Snapshot
from pyiceberg.typedef import Record
from pyiceberg.types import NestedField

from onward.core.errors import BusyError, CorruptError, NotFoundError
from onward.core.ports import Erased
from onward.infra.lake import columns, commit, expire, files, views
from onward.infra.lake.files import Inventory
from onward.infra.lake.snapshots import CHANGE, record

if TYPE_CHECKING:
    import ibis.expr.types as ir

    Where = Callable[[ir.Table], ir.BooleanValue]

_FILE: Final = "_file"
_STORED: Final = "_stored_"
_TURNS: Final = 20


def erase(table: Table, where: Where, *, orphaned_before: datetime, spill: Path) -> Erased:
    """Take the rows for which `where` is true from main, then whatever still holds them.

    Raises
    ------
    NotFoundError
        `where` names a column that the table never had.
    BusyError
        Other writers added such rows again and again.
    """
    files.reap(table)
    search = _Search(where, spill)
    landed: Snapshot | None = None
    rows = removed = 0
    gone: set[int] = set()
    branches: set[str] = set()
    for _ in range(_TURNS):
        now = table.catalog.load_table(table.name())
        holding = search.holding(now)
        main = now.current_snapshot()
        if main is not None and main.snapshot_id in holding:
            if (done := _rewrite(now, main, search)) is not None:
                landed, rows = done[0], rows + done[1]
        elif holding:
            refs = {n for n, r in now.metadata.refs.items() if r.snapshot_id in holding}
            expired = expire.expire(now, holding, refs)
            gone |= expired.snapshots
            branches |= expired.branches
            removed += len(expired.files)
        else:
            break
    else:
        raise BusyError(
            f"other writers keep adding the rows that are being erased from {_name(table)}",
            next_step="stop them, then run the same command again",
        )
    if landed is not None:  # as it is since its parent expired
        landed = now.metadata.snapshot_by_id(landed.snapshot_id) or landed
    orphans, in_flight = _orphans(now, search, orphaned_before)
    return Erased(
        table=_name(table),
        rows=rows,
        snapshot=record(now, landed) if landed else None,
        expired=tuple(sorted(gone)),
        branches=tuple(sorted(branches)),
        files=removed + orphans,
        in_flight=in_flight,
    )


@dataclass(slots=True)
class _Search:
    """Which files hold rows that match. A file never changes, so each is looked into once."""

    where: Where
    spill: Path
    matches: dict[str, int] = field(default_factory=dict)

    def holding(self, table: Table) -> set[int]:
        """Return the snapshots with a file that holds a row that matches, a deleted one too."""
        inventory = Inventory(table)
        data = {
            snapshot.snapshot_id: {
                path: file
                for path, file in inventory.data(snapshot).items()
                if file.content == DataFileContent.DATA
            }
            for snapshot in table.metadata.snapshots
        }
        self.look(table, {path: file for own in data.values() for path, file in own.items()})
        return {id_ for id_, own in data.items() if any(self.matches[path] for path in own)}

    def look(self, table: Table, found: dict[str, DataFile]) -> None:
        """Count the rows that match in every file that was not seen before."""
        new = [FileScanTask(file) for path, file in found.items() if path not in self.matches]
        if not new:
            return
        with self.over(table, new) as (rows, matching):
            bad = rows.filter(matching)
            counts = bad.group_by(_FILE).agg(n=bad.count()).to_pyarrow()
        self.matches |= {task.file.file_path: 0 for task in new}
        self.matches |= {row[_FILE]: row["n"] for row in counts.to_pylist()}

    @contextmanager
    def over(
        self, table: Table, tasks: Collection[FileScanTask]
    ) -> Iterator[tuple[ir.Table, ir.BooleanValue]]:
        """Show the files' rows, under every column that the table ever had, and which match.

        A column as it is stored now also stands behind `_STORED`.
        """
        import ibis
        from ibis.common.exceptions import IbisError

        schema, behind = _every_column(table)
        backend = views.connect(self.spill)
        try:
            views.show(backend, "_stored", table, schema, list(tasks), file=_FILE)
            stored = backend.table("_stored")
            found = {
                name: ibis.coalesce(
                    stored[name], *(stored[old].try_cast(stored[name].type()) for old in older)
                )
                for name, older in behind.items()
            }
            as_stored = {_STORED + f.name: stored[f.name] for f in table.schema().fields}
            rows = stored.select(_FILE, **found, **as_stored)
            try:
                [matching] = rows.bind(self.where)
            except (AttributeError, IbisError) as error:
                raise NotFoundError(
                    f"the rows to erase from {_name(table)} cannot be told: {error}",
                    expected="columns among " + ", ".join(behind),
                ) from error
            yield rows, matching.fill_null(False)
        finally:
            backend.disconnect()


def _rewrite(table: Table, main: Snapshot, search: _Search) -> tuple[Snapshot, int] | None:
    """Commit main without the rows, and return how many they were; None if a writer came first."""
    tasks = [
        task
        for task in table.scan(snapshot_id=main.snapshot_id).plan_files()
        if search.matches[task.file.file_path]
    ]
    target = columns.of_iceberg(table.schema())
    with search.over(table, tasks) as (rows, matching):
        taken = rows.filter(matching).count().to_pyarrow().as_py()
        kept = rows.filter(~matching).select(**{n: rows[_STORED + n] for n in target.names})
        batches = iter(kept.to_pyarrow_batches())
        written = commit.write(table, target, columns.cast(batches, target, _name(table)))
    without = [task.file for task in tasks]

    said = {CHANGE: "erase"}

    def attempt(now: Table) -> Snapshot:
        return commit.add(now, written, branch=MAIN_BRANCH, without=without, properties=said)

    try:
        return commit.optimistic(table, attempt, attempts=1), taken
    except BusyError:
        files.remove(table, [file.file_path for file in written.files])
        return None


def _orphans(table: Table, search: _Search, before: datetime) -> tuple[int, int]:
    """Delete files of no snapshot with rows that match; count those that may yet be committed."""
    lying = [file for file in files.lying(table) if file.path.endswith(".parquet")]
    needed = Inventory(table.refresh()).referenced()
    removed = in_flight = 0
    for file in lying:
        if file.path in needed or not _may_match(table, search, file):
            continue
        if file.at < before:
            removed += files.remove(table, [file.path])
        else:
            in_flight += 1
    return removed, in_flight


def _may_match(table: Table, search: _Search, file: files.Lying) -> bool:
    """Tell whether a file holds a row that matches; one that is not whole may."""
    data = DataFile.from_args(
        content=DataFileContent.DATA,
        file_path=file.path,
        file_format=FileFormat.PARQUET,
        partition=Record(),
        record_count=0,
        file_size_in_bytes=file.size,
    )
    try:
        search.look(table, {file.path: data})
    except (pa.ArrowException, OSError, CorruptError):
        return True
    return bool(search.matches[file.path])


def _every_column(table: Table) -> tuple[Schema, dict[str, list[str]]]:
    """Return all columns that a table has and had, and by name the older ones that hide behind.

    A column of another type than before has another field id. Older files hold it under the old
    one, which is read under a name of its own.
    """
    current = table.schema()
    fields = list(current.fields)
    ids = {f.field_id for f in fields}
    behind: dict[str, list[str]] = {f.name: [] for f in fields}
    for schema in reversed(table.metadata.schemas):
        for f in schema.fields:
            if f.field_id in ids:
                continue
            ids.add(f.field_id)
            if f.name in behind:
                name = f"{f.name}__{f.field_id}"
                behind[f.name].append(name)
            else:
                name = f.name
                behind[name] = []
            fields.append(NestedField(f.field_id, name, f.field_type, required=False))
    return Schema(*fields, schema_id=current.schema_id), behind


def _name(table: Table) -> str:
    return ".".join(table.name())
