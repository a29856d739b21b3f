"""The lake port on Apache Iceberg."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pyarrow as pa
from pyiceberg.manifest import DataFile
from pyiceberg.schema import Schema
from pyiceberg.table import Table
from pyiceberg.table.refs import MAIN_BRANCH
from pyiceberg.table.snapshots import Snapshot as IcebergSnapshot

from onward.core.errors import DivergedError, NotFoundError, unknown_name
from onward.core.ports import Erased, Rows, Snapshot, Swept
from onward.core.records import Batch, DatasetRef, Delta, Mode, Partitions
from onward.infra.lake import catalog as catalogs
from onward.infra.lake import columns, commit, publication, upsert, views
from onward.infra.lake.compact import compact
from onward.infra.lake.deltas import added, plan_delta
from onward.infra.lake.erase import erase
from onward.infra.lake.expire import sweep
from onward.infra.lake.partitions import replaced
from onward.infra.lake.snapshots import BRANCH, CHANGE, main, published, record, said

if TYPE_CHECKING:
    import ibis.expr.types as ir
    from ibis.backends.duckdb import Backend


def open_lake(folder: Path) -> IcebergLake:
    """Open the lake in `folder`, or create an empty one there.

    Raises
    ------
    CorruptError
        The folder's catalog is no catalog.
    """
    return IcebergLake(folder)


class IcebergLake:
    """Iceberg tables (format v2) under one folder, with a SQLite catalog beside them.

    Safe in several threads and processes at once. Do not carry one across a fork.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()
        self._catalog = catalogs.open_catalog(self._folder)

    # ------------------------------------------------------------ looking

    def tables(self) -> Sequence[str]:
        return [name for name in self._names() if self.head(name) is not None]

    def branches(self) -> Mapping[str, Mapping[str, Snapshot]]:
        found = {}
        for name in self._names():
            table = self._load(name)
            if table is None:
                continue
            heads = {ref: table.metadata.snapshot_by_name(ref) for ref in table.metadata.refs}
            own = {
                ref: record(table, head)
                for ref, head in heads.items()
                if head is not None and ref != MAIN_BRANCH
            }
            if own:
                found[name] = own
        return found

    def schema(self, table: str) -> pa.Schema | None:
        found = self._load(table)
        if found is None or found.current_snapshot() is None:
            return None
        return columns.of_iceberg(found.schema())

    def head(self, table: str, branch: str = MAIN_BRANCH) -> Snapshot | None:
        found = self._load(table)
        snapshot = found and found.metadata.snapshot_by_name(branch)
        return record(found, snapshot) if found and snapshot else None

    def history(self, table: str) -> Sequence[Snapshot]:
        found = self._load(table)
        if found is None:
            return []
        return [record(found, snapshot) for snapshot in main(found.metadata)][::-1]

    def dataset(self, table: str) -> DatasetRef:
        head = self.head(table)
        if head is None:
            what, expected = unknown_name("published table", table, self.tables())
            raise NotFoundError(what, expected=expected, next_step="publish it with `onward run`")
        return DatasetRef(table=table, snapshot=head.id, rows=head.rows)

    # ------------------------------------------------------------ writing

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
    ) -> Snapshot:
        """Cut `branch` from main (afresh if it exists) and commit `rows` on it, once.

        A key that `publish` is to know the rows by stands in the summary as ``key``. With mode
        ``upsert`` a row takes the place of main's row with the same `key`, with ``partitions``
        the rows take the place of all that main has in `partitions`.

        Raises
        ------
        DataError
            The rows do not fit the published columns (unless they replace all), or cannot be
            stored.
        DivergedError
            Main moved on while the rows were merged into it.
        ValueError
            The branch is main, an upsert has no key, or no partitions are named.
        """
        if branch == MAIN_BRANCH:
            raise ValueError("rows are staged on a branch of their own, not on main")
        merged: Sequence[DataFile] = ()
        merging = _merging(mode, key, order, partitions)
        if merging is not None:
            before, written, merged = self._merge(table, rows, merging)
        else:
            before, written = self._write(self._load(table), table, rows, replace=mode == "replace")

        def attempt(now: Table) -> IcebergSnapshot:
            if merging is not None:
                _require_head(table, now, before)
            without = commit.files(now) if mode == "replace" else merged
            return commit.add(now, written, branch=branch, without=without, properties=entries)

        with self._corruption(table):
            marks = {BRANCH: branch, CHANGE: mode}
            entries = marks | said(before, summary, state or {})
            return record(before, commit.optimistic(before, attempt))

    def publish(
        self, table: str, branch: str, *, expect: int | None, key: str | None = None
    ) -> Snapshot:
        with self._corruption(table):
            found = self._require(table)
            return record(found, publication.publish(found, branch, expect=expect, key=key))

    def drop_branch(self, table: str, branch: str) -> None:
        def attempt(now: Table) -> None:
            if branch in now.metadata.refs:
                commit.forget(now, branch)

        found = self._load(table)
        if found is not None:
            with self._corruption(table):
                commit.optimistic(found, attempt)

    def append(
        self,
        table: str,
        rows: Rows,
        *,
        key: str,
        summary: Mapping[str, str] | None = None,
        state: Mapping[str, str] | None = None,
    ) -> Snapshot | None:
        """Commit trusted rows to main, once per `key`; None if there are none and no table yet.

        The key stands in the snapshot's summary as ``key``.

        Raises
        ------
        DataError
            The rows do not fit the table's columns, or cannot be stored.
        """

        def attempt(now: Table) -> IcebergSnapshot:
            landed = published(now.metadata, key=key)
            return landed or commit.add(now, written, branch=MAIN_BRANCH, properties=entries)

        before = self._load(table)
        if before is not None and (landed := published(before.metadata, key=key)):
            return record(before, landed)
        if before is None or before.current_snapshot() is None:
            some = _some(rows)
            if some is None:
                return None
            rows = some
        now, written = self._write(before, table, rows, replace=False)
        with self._corruption(table):
            told = said(now, {**(summary or {}), "key": key}, state or {})
            entries = {CHANGE: "append", **told}
            return record(now, commit.optimistic(now, attempt))

    # ------------------------------------------------------------ keeping

    def compact(self, table: str, *, every: int) -> Snapshot | None:
        now = self._load(table)
        with self._corruption(table):
            landed = now and compact(now, every)
        return record(now, landed) if now and landed else None

    def sweep(
        self,
        table: str,
        *,
        snapshots: Collection[int],
        branches: Collection[str],
        before: datetime,
    ) -> Swept:
        with self._corruption(table):
            found = self._require(table)
            return sweep(found, snapshots, branches, before=before, dry=False)

    def weigh(
        self,
        table: str,
        *,
        snapshots: Collection[int],
        branches: Collection[str],
        before: datetime,
    ) -> Swept:
        with self._corruption(table):
            found = self._require(table)
            return sweep(found, snapshots, branches, before=before, dry=True)

    def erase(
        self, table: str, where: Callable[[ir.Table], ir.BooleanValue], *, orphaned_before: datetime
    ) -> Erased:
        with self._corruption(table):
            found = self._require(table)
            spill = self._folder / "spill"
            return erase(found, where, orphaned_before=orphaned_before, spill=spill)

    # ------------------------------------------------------------ reading

    def read(
        self, table: str, *, snapshot: int | None = None, columns: Sequence[str] | None = None
    ) -> pa.Table:
        at = snapshot if snapshot is not None else self.dataset(table).snapshot
        with self._corruption(table):
            found = self._require(table)
            schema, tasks = views.plan(found, at)
            if columns is not None:
                schema = _select(table, schema, columns)
            return views.read(found, schema, tasks)

    def added(self, table: str, *, after: int | None, upto: int) -> Delta | None:
        with self._corruption(table):
            return added(self._require(table), after=after, upto=upto)

    @contextmanager
    def open(
        self, datasets: Mapping[str, DatasetRef | Batch | Delta | pa.Table]
    ) -> Iterator[Backend]:
        backend = views.connect(self._folder / "spill")
        try:
            for name, data in datasets.items():
                if isinstance(data, pa.Table):
                    backend.con.register(name, data)
                    continue
                with self._corruption(data.table):
                    found = self._require(data.table)
                    views.show(backend, name, found, *_plan(found, data))
            yield backend
        finally:
            backend.disconnect()

    # ------------------------------------------------------------ inside

    def _names(self) -> Sequence[str]:
        """Return the names of all tables, published or not, sorted."""
        with self._corruption("the lake's catalog"):
            return sorted(
                ".".join(name)
                for namespace in self._catalog.list_namespaces()
                for name in self._catalog.list_tables(namespace)
            )

    def _load(self, table: str) -> Table | None:
        with self._corruption(table):
            return catalogs.load(self._catalog, table)

    def _require(self, table: str) -> Table:
        found = catalogs.load(self._catalog, table)
        if found is None:
            what, expected = unknown_name("table", table, self.tables())
            raise NotFoundError(what, expected=expected)
        return found

    def _write(
        self, now: Table | None, table: str, rows: Rows, *, replace: bool
    ) -> tuple[Table, commit.Written]:
        """Write the rows' data files; a table that does not exist is created without a snapshot."""
        now, target = self._place(now, table, rows.schema, replace=replace)
        # Outside: an error of the reader that the rows come from is no corruption of the lake.
        return now, commit.write(now, target, columns.cast(_batches(rows), target, table))

    def _merge(
        self, table: str, rows: Rows, merging: _Merging
    ) -> tuple[Table, commit.Written, Sequence[DataFile]]:
        """Write what main's files that the rows touch become, with the rows."""
        now, target = self._place(self._load(table), table, rows.schema, replace=False)
        given = pa.RecordBatchReader.from_batches(
            target, columns.cast(_batches(rows), target, table)
        )
        with merging(now, given, spill=self._folder / "spill") as merged:
            written = commit.write(now, target, columns.cast(merged.rows, target, table))
            return now, written, merged.without

    def _place(
        self, now: Table | None, table: str, incoming: pa.Schema, *, replace: bool
    ) -> tuple[Table, pa.Schema]:
        """Return the table, created if need be, and the columns that it will have."""
        target = columns.stored(incoming, table)
        if now is not None and now.current_snapshot() is not None and not replace:
            target = columns.fitted(incoming, columns.of_iceberg(now.schema()), table)
        if now is None:
            with self._corruption(table):
                now = catalogs.create(self._catalog, table, target)
        return now, target

    def _corruption(self, subject: str) -> AbstractContextManager[None]:
        return catalogs.corruption(self._folder, subject)


class _Merging(Protocol):
    def __call__(
        self, table: Table, given: pa.RecordBatchReader, *, spill: Path
    ) -> AbstractContextManager[upsert.Merged]: ...


def _merging(
    mode: Mode, key: Sequence[str], order: str | None, partitions: Partitions | None
) -> _Merging | None:
    """Return how rows merge into main's files; None where they are added or replace them all."""
    if mode == "upsert":
        if not key:
            raise ValueError("an upsert needs a key")
        return partial(upsert.merged, key=key, order=order)
    if mode == "partitions":
        if partitions is None:
            raise ValueError("partitions are replaced by name")
        return partial(replaced, partitions=partitions)
    return None


def _some(rows: Rows) -> Rows | None:
    """Return the rows unless there are none; a reader is looked at, not used up."""
    if isinstance(rows, pa.Table):
        return rows if rows.num_rows else None
    for batch in rows:
        if batch.num_rows:
            return pa.RecordBatchReader.from_batches(rows.schema, chain([batch], rows))
    return None


def _batches(rows: Rows) -> Iterator[pa.RecordBatch]:
    return iter(rows.to_batches() if isinstance(rows, pa.Table) else rows)


def _require_head(table: str, now: Table, before: Table) -> None:
    head, merged = (t.current_snapshot() for t in (now, before))
    if head != merged:
        raise DivergedError(
            f"{table} moved on while rows were merged into it",
            expected=f"main at snapshot {merged and merged.snapshot_id}, "
            f"found {head and head.snapshot_id}",
            next_step="run again: the rows are staged and audited on the new main",
        )


def _plan(table: Table, data: DatasetRef | Batch | Delta) -> views.Plan:
    if isinstance(data, Delta):
        return plan_delta(table, data)
    look = views.plan_added if isinstance(data, Batch) else views.plan
    return look(table, data.snapshot)


def _select(table: str, schema: Schema, names: Sequence[str]) -> Schema:
    fields = {field.name: field for field in schema.fields}
    for name in names:
        if name not in fields:
            what, expected = unknown_name(f"column of {table}", name, fields)
            raise NotFoundError(what, expected=expected)
    return Schema(*(fields[name] for name in names), schema_id=schema.schema_id)
