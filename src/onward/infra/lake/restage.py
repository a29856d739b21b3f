"""Staged rows, staged again without some: file by file, from Parquet to Parquet in DuckDB.

A file that loses no row is taken over as it is. The rows keep their order, and no row passes
through Python; where that cannot be (see `rewritten`), the rows are read as Arrow.
"""

# ruff: noqa: S608 (queries are put together here; names and text are quoted)

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.manifest import DataFile
from pyiceberg.schema import Schema, sanitize_column_names
from pyiceberg.table import FileScanTask, Table
from pyiceberg.table.locations import load_location_provider
from pyiceberg.table.metadata import TableMetadata

from onward.core.files import sync
from onward.core.ports import Staged
from onward.core.records import ROW, Evolution
from onward.core.sql import identifier, literal
from onward.infra.lake import commit, views
from onward.infra.lake.columns import of_iceberg
from onward.infra.lake.durable import make_folder
from onward.infra.lake.parquet import data_file, field_ids

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_ROWS_AT_A_TIME = 122_880  # DuckDB's row group
_AHEAD = "256MB"  # what DuckDB computes while the rows before are being written


@dataclass(frozen=True, slots=True)
class Held:
    """The files that staged rows lie in, as their rows are numbered, and the numbers to leave.

    `stored` are the columns of the files, `schema` those wanted of them.
    """

    table: Table
    stored: Schema
    tasks: Sequence[FileScanTask]
    schema: pa.Schema
    without: pa.Array


def held(table: Table, rows: Staged) -> Held:
    """Find the files of staged rows."""
    stored, tasks = views.plan_added(table, rows.batch.snapshot)
    there = of_iceberg(stored)
    schema = pa.schema([there.field(name) for name in rows.columns or there.names])
    without = pa.array([], pa.int64()) if rows.without is None else rows.without
    if isinstance(without, pa.ChunkedArray):
        without = without.combine_chunks()
    return Held(table, stored, tasks, schema, without)


@contextmanager
def read(rows: Held, spill: Path) -> Iterator[pa.RecordBatchReader]:
    """Open the rows as Arrow, in their order."""
    backend = views.connect(spill)
    try:
        connection = backend.con
        connection.execute(f"SET streaming_buffer_size = '{_AHEAD}'")
        views.show(backend, "staged", rows.table, rows.stored, rows.tasks, row=ROW)
        first, last = 1, sum(task.file.record_count for task in rows.tasks)
        kept = _kept(connection, rows.without, first, last, f"{ROW} - 1")
        columns = ", ".join(map(identifier, rows.schema.names))
        query = f"SELECT {columns} FROM staged WHERE {kept}"
        yield connection.execute(query).to_arrow_reader(_ROWS_AT_A_TIME)
    finally:
        backend.disconnect()


def rewritten(
    rows: Held, now: Table, target: pa.Schema, evolution: Evolution | None, spill: Path
) -> commit.Written | None:
    """Write the rows' data files for `now` whose columns will be `target`, if DuckDB can.

    It can where the files are local, are read as Parquet by field id, and hold `target`'s types.

    Raises
    ------
    CorruptError
        A data file is missing or altered.
    OSError
        The files cannot be written.
    """
    metadata = commit.evolved(now, target, evolution)
    schema = metadata.schema()
    same = {f.name: f.type for f in rows.schema} == {f.name: f.type for f in target}
    local = not views.is_remote(metadata.location)
    if not (same and local and _storable(schema)):
        return None
    if any(views.in_parquet(rows.table, rows.stored, [task]) is None for task in rows.tasks):
        return None
    views.require_files(rows.tasks)
    own = rows.table.name() == now.name() and rows.stored.as_struct() == schema.as_struct()
    files = list(_files(rows, metadata, spill, take_over=own))
    return commit.Written(tuple(files), target, schema, now.metadata.current_schema_id, evolution)


def _files(
    rows: Held, metadata: TableMetadata, spill: Path, *, take_over: bool
) -> Iterator[DataFile]:
    backend = views.connect(spill)
    try:
        counts = [task.file.record_count for task in rows.tasks]
        ends = accumulate(counts)
        for task, count, end in zip(rows.tasks, counts, ends, strict=True):
            first = end - count + 1
            inside = pc.and_(
                pc.greater_equal(rows.without, first), pc.less_equal(rows.without, end)
            )
            gone = rows.without.filter(inside)
            if take_over and not len(gone):
                yield task.file
            elif len(gone) < count:
                kept = _kept(backend.con, gone, first, end, "file_row_number")
                source = views.in_parquet(rows.table, rows.stored, [task])
                query = f"read_parquet({source}) WHERE {kept}"
                yield _copied(backend.con, query, metadata)
    finally:
        backend.disconnect()


def _kept(
    connection: DuckDBPyConnection, without: pa.Array, first: int, last: int, index: str
) -> str:
    """Return the condition on the rows that stay, the row `first` having the index 0."""
    if not len(without):
        return "TRUE"
    connection.register("_without", pa.table({"number": without}))
    connection.execute(
        f"SET VARIABLE gone = (SELECT bitstring_agg(number, {first}, {last}) FROM _without)"
    )
    connection.unregister("_without")
    return f"get_bit(getvariable('gone'), ({index})::INTEGER) = 0"


def _copied(connection: DuckDBPyConnection, query: str, metadata: TableMetadata) -> DataFile:
    """Write the rows of ``FROM query`` as one data file, and see it on the disk."""
    import duckdb

    schema = metadata.schema()
    provider = load_location_provider(metadata.location, metadata.properties)
    path = Path(provider.new_data_location(f"{uuid.uuid4()}.parquet"))
    make_folder(path.parent)
    stored = zip(schema.fields, sanitize_column_names(schema).fields, strict=True)
    columns = ", ".join(
        f"{identifier(field.name)} AS {identifier(kept.name)}" for field, kept in stored
    )
    options = f"FORMAT parquet, COMPRESSION zstd, FIELD_IDS {field_ids(schema)}"
    try:
        connection.execute(
            f"COPY (SELECT {columns} FROM {query}) TO {literal(str(path))} ({options})"
        )
        sync(path)
        sync(path.parent)
    except BaseException as error:
        path.unlink(missing_ok=True)
        if isinstance(error, duckdb.IOException):  # a disk's, as any other writer says it
            raise OSError(str(error)) from error
        raise
    return data_file(path, metadata)


def _storable(schema: Schema) -> bool:
    """Tell whether Parquet takes the names within nested columns as they are."""
    kept = sanitize_column_names(schema).fields
    return all(a.field_type == b.field_type for a, b in zip(schema.fields, kept, strict=True))
