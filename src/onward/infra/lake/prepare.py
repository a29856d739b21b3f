"""Preparing a commit: the data files of rows that are added, merged, or retype what was there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol

import pyarrow as pa
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from onward.core.errors import DivergedError
from onward.core.ports import Rows, Staged
from onward.core.records import Evolution, Mode, Partitions
from onward.infra.lake import catalog as catalogs
from onward.infra.lake import columns, commit, restage, upsert
from onward.infra.lake.find import SOUGHT
from onward.infra.lake.partitions import replaced
from onward.infra.lake.retype import retyped


@dataclass(frozen=True, slots=True)
class Wanted:
    """What rows do to a table, as the port's `stage` has it."""

    mode: Mode
    key: Sequence[str] = ()
    order: str | None = None
    partitions: Partitions | None = None
    evolution: Evolution | None = None
    sought: bool = False

    def merging(self) -> _Merging | None:
        """Return how rows merge into main's files; None where they are added or replace them all.

        Raises
        ------
        ValueError
            An upsert has no key, or no partitions are named.
        """
        if self.mode == "upsert":
            if not self.key:
                raise ValueError("an upsert needs a key")
            return partial(upsert.merged, key=self.key, order=self.order, evolution=self.evolution)
        if self.mode == "partitions":
            if self.partitions is None:
                raise ValueError("partitions are replaced by name")
            return partial(replaced, partitions=self.partitions)
        return None


@dataclass(frozen=True, slots=True)
class Prepared:
    """Files for a commit on `table` as it was: those written, those of main that they replace.

    `given` is how many rows came.
    """

    table: Table
    written: commit.Written
    given: int
    without: Sequence[DataFile] = ()
    marks: Mapping[str, str] = field(default_factory=dict)
    merged: bool = False

    def require_base(self, now: Table) -> None:
        """Refuse to commit what main's rows became, where main's rows are others by now.

        Raises
        ------
        DivergedError
            Main moved on.
        """
        head, base = (t.current_snapshot() for t in (now, self.table))
        if self.merged and head != base:
            raise DivergedError(
                f"{'.'.join(now.name())} moved on while rows were merged into it",
                expected=f"main at snapshot {base and base.snapshot_id}, "
                f"found {head and head.snapshot_id}",
                next_step="run again: the rows are staged and audited on the new main",
            )


class _Merging(Protocol):
    def __call__(
        self, table: Table, given: pa.RecordBatchReader, *, spill: Path
    ) -> AbstractContextManager[upsert.Merged]: ...


def prepare(
    catalog: SqlCatalog, folder: Path, now: Table | None, table: str, rows: Rows, wanted: Wanted
) -> Prepared:
    """Write the rows' data files; a table that does not exist is created without a snapshot.

    Raises
    ------
    DataError
        The rows do not fit the published columns (unless they replace all), or cannot be stored.
    """
    if isinstance(rows, Staged):
        return _again(catalog, folder, now, table, rows, wanted)
    merging, spill = wanted.merging(), folder / "spill"
    target = _target(now, table, rows.schema, wanted)
    if now is None:
        with catalogs.corruption(folder, table):
            now = catalogs.create(catalog, table, target, SOUGHT if wanted.sought else {})
    # An error of the reader that the rows come from is no corruption of the lake.
    counts: list[int] = []
    batches = columns.cast(_batches(rows, counts), target, table)
    if merging is None:
        written = commit.write(now, target, batches, wanted.evolution)
        return _retyped(now, target, written, wanted, spill)
    given = pa.RecordBatchReader.from_batches(target, batches)
    with merging(now, given, spill=spill) as merged:
        batches = columns.cast(merged.rows, target, table)
        written = commit.write(now, target, batches, wanted.evolution)
        return Prepared(now, written, sum(counts), merged.without, merged=True)


def _again(
    catalog: SqlCatalog, folder: Path, now: Table | None, table: str, rows: Staged, wanted: Wanted
) -> Prepared:
    """Take staged rows' files over or rewrite them; where neither can be, read them as Arrow."""
    found = now if rows.batch.table == table else catalog.load_table(rows.batch.table)
    assert found is not None
    held, spill = restage.held(found, rows), folder / "spill"
    if now is not None and wanted.merging() is None:
        target = _target(now, table, held.schema, wanted)
        written = restage.rewritten(held, now, target, wanted.evolution, spill)
        if written is not None:
            return _retyped(now, target, written, wanted, spill)
    with restage.read(held, spill) as reader:
        return prepare(catalog, folder, now, table, reader, wanted)


def _retyped(
    now: Table, target: pa.Schema, written: commit.Written, wanted: Wanted, spill: Path
) -> Prepared:
    """Write main's rows anew besides, where columns get types that their files do not have."""
    evolution = wanted.evolution
    if evolution is None or not evolution.retyped or wanted.mode == "replace":
        return Prepared(now, written, written.rows)
    if now.current_snapshot() is None:
        return Prepared(now, written, written.rows)
    with retyped(now, target, evolution, spill) as kept:
        batches = columns.cast(kept, target, ".".join(now.name()))
        rewritten = commit.write(now, target, batches, evolution)
    both, marks = commit.rewriting(written, rewritten)
    return Prepared(now, both, written.rows, commit.files(now), marks, merged=True)


def _target(now: Table | None, table: str, incoming: pa.Schema, wanted: Wanted) -> pa.Schema:
    """Return the columns that the table will have."""
    if now is None or now.current_snapshot() is None or wanted.mode == "replace":
        return columns.stored(incoming, table)
    return columns.fitted(incoming, columns.of_iceberg(now.schema()), table, wanted.evolution)


def _batches(rows: pa.Table | pa.RecordBatchReader, counts: list[int]) -> Iterator[pa.RecordBatch]:
    """Yield the rows, and note in `counts` how many passed."""
    for batch in rows.to_batches() if isinstance(rows, pa.Table) else rows:
        counts.append(batch.num_rows)
        yield batch
