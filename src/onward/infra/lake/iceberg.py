"""The lake port on Apache Iceberg."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
from pyiceberg.schema import Schema
from pyiceberg.table import Table
from pyiceberg.table.refs import MAIN_BRANCH
from pyiceberg.table.snapshots import Snapshot as IcebergSnapshot

from onward.core.disk import full_disk_told
from onward.core.errors import NotFoundError, unknown_name
from onward.core.ports import Erased, Rows, Snapshot, Staged, Swept
from onward.core.records import ROW, Batch, DatasetRef, Delta, Evolution, Mode, Partitions
from onward.infra.lake import catalog as catalogs
from onward.infra.lake import columns, commit, publication, views
from onward.infra.lake.catalog import Place
from onward.infra.lake.compact import compact
from onward.infra.lake.deltas import added, plan_delta
from onward.infra.lake.erase import erase
from onward.infra.lake.expire import sweep
from onward.infra.lake.find import find
from onward.infra.lake.prepare import Wanted, prepare
from onward.infra.lake.snapshots import BRANCH, CHANGE, GIVEN, main, published, record, said

if TYPE_CHECKING:
    import ibis.expr.types as ir
    from ibis.backends.duckdb import Backend


def open_lake(folder: Path, place: Place | None = None) -> IcebergLake:
    """Open the lake in `folder`, or create an empty one there.

    With a `place`, the catalog or the files are elsewhere, and the folder keeps what is local.

    Raises
    ------
    CorruptError
        The folder's catalog is no catalog.
    BusyError
        The catalog's server does not answer.
    """
    return IcebergLake(folder, place or Place())


class IcebergLake:
    """Iceberg tables (format v2) and a SQL catalog of them.

    Safe in several threads and processes at once. Do not carry one across a fork.
    """

    def __init__(self, folder: Path, place: Place) -> None:
        self._folder = folder.absolute()
        self._catalog = catalogs.open_catalog(self._folder, place)

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
            raise self._unpublished(table)
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
        evolution: Evolution | None = None,
    ) -> Snapshot:
        """Cut `branch` from main (afresh if it exists) and commit `rows` on it, once.

        As the port says; besides

        Raises
        ------
        ValueError
            The branch is main, an upsert has no key, or no partitions are named.
        """
        if branch == MAIN_BRANCH:
            raise ValueError("rows are staged on a branch of their own, not on main")
        wanted = Wanted(mode, key, order, partitions, evolution)
        with full_disk_told(self._folder):
            prepared = prepare(self._catalog, self._folder, self._load(table), table, rows, wanted)

        def attempt(now: Table) -> IcebergSnapshot:
            prepared.require_base(now)
            without = commit.files(now) if mode == "replace" else prepared.without
            return commit.add(
                now, prepared.written, branch=branch, without=without, properties=entries
            )

        with self._corruption(table):
            given = str(prepared.given)
            marks = {BRANCH: branch, CHANGE: mode, GIVEN: given, **prepared.marks}
            entries = marks | said(prepared.table, summary, state or {})
            return record(prepared.table, commit.optimistic(prepared.table, attempt))

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
        evolution: Evolution | None = None,
        sought: bool = False,
    ) -> Snapshot | None:
        """Commit trusted rows to main, once per `key`; None if there are none and no table yet.

        The key stands in the snapshot's summary as ``key``.

        Raises
        ------
        DataError
            The rows do not fit the table's columns, or cannot be stored.
        """

        def attempt(now: Table) -> IcebergSnapshot:
            if landed := published(now.metadata, key=key):
                return landed
            prepared.require_base(now)
            return commit.add(
                now,
                prepared.written,
                branch=MAIN_BRANCH,
                without=prepared.without,
                properties=entries,
            )

        found = self._load(table)
        if found is not None and (landed := published(found.metadata, key=key)):
            return record(found, landed)
        if found is None or found.current_snapshot() is None:
            some = _some(rows)
            if some is None:
                return None
            rows = some
        wanted = Wanted("append", evolution=evolution, sought=sought)
        prepared = prepare(self._catalog, self._folder, found, table, rows, wanted)
        with self._corruption(table):
            told = said(prepared.table, {**(summary or {}), "key": key}, state or {})
            given = str(prepared.given)
            entries = {CHANGE: "append", GIVEN: given, **prepared.marks, **told}
            return record(prepared.table, commit.optimistic(prepared.table, attempt))

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

    def find(self, table: str, where: Mapping[str, str | int]) -> pa.Table:
        with self._corruption(table):
            found = self._load(table)
            if found is None or found.current_snapshot() is None:
                raise self._unpublished(table)
            return find(found, where)

    def metadata(self, table: str) -> str:
        with self._corruption(table):
            found = self._require(table)
            with found.io.new_input(found.metadata_location).open() as file:
                return file.read().decode()

    def added(self, table: str, *, after: int | None, upto: int) -> Delta | None:
        with self._corruption(table):
            return added(self._require(table), after=after, upto=upto)

    @contextmanager
    def open(
        self,
        datasets: Mapping[str, DatasetRef | Batch | Delta | pa.Table],
        *,
        numbered: str | None = None,
    ) -> Iterator[Backend]:
        backend = views.connect(self._folder / "spill")
        try:
            for name, data in datasets.items():
                if isinstance(data, pa.Table):
                    backend.con.register(name, data)
                    continue
                with self._corruption(data.table):
                    found = self._require(data.table)
                    row = ROW if name == numbered else None
                    views.show(backend, name, found, *_plan(found, data), row=row)
            with full_disk_told(self._folder / "spill"):
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

    def _unpublished(self, table: str) -> NotFoundError:
        what, expected = unknown_name("published table", table, self.tables())
        return NotFoundError(what, expected=expected, next_step="publish it with `onward run`")

    def _corruption(self, subject: str) -> AbstractContextManager[None]:
        return catalogs.corruption(self._folder, subject)


def _some(rows: Rows) -> Rows | None:
    """Return the rows unless there are none; a reader is looked at, not used up."""
    if isinstance(rows, Staged):
        return rows
    if isinstance(rows, pa.Table):
        return rows if rows.num_rows else None
    for batch in rows:
        if batch.num_rows:
            return pa.RecordBatchReader.from_batches(rows.schema, chain([batch], rows))
    return None


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
