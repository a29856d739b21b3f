"""Snapshots, batches and Arrow tables as tables of one DuckDB connection."""

# ruff: noqa: S608 (queries are put together here; names and text are quoted)

from __future__ import annotations

from collections.abc import Iterator, Sequence
from io import SEEK_END
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import pyarrow as pa
from pyiceberg.expressions import AlwaysTrue
from pyiceberg.io.pyarrow import ArrowScan
from pyiceberg.schema import Schema, sanitize_column_names
from pyiceberg.table import FileScanTask, Table
from pyiceberg.types import (
    BinaryType,
    BooleanType,
    DateType,
    DecimalType,
    DoubleType,
    FloatType,
    IntegerType,
    LongType,
    NestedField,
    StringType,
    TimestamptzType,
)

from onward.core.errors import CorruptError, NotFoundError
from onward.core.sql import identifier, literal
from onward.infra.lake.columns import of_iceberg
from onward.infra.lake.commit import added_files
from onward.infra.lake.scan import scanned

if TYPE_CHECKING:
    from ibis.backends.duckdb import Backend


def connect(spill: Path) -> Backend:
    """Open an in-memory DuckDB connection, in UTC as Ibis sets it, that spills under `spill`."""
    import ibis

    return ibis.duckdb.connect(temp_directory=str(spill))


_NAMED_ALIKE = (
    BinaryType, BooleanType, DateType, DecimalType, DoubleType, FloatType, IntegerType, LongType,
    StringType, TimestamptzType,
)  # fmt: skip

Plan: TypeAlias = tuple[Schema, Sequence[FileScanTask]]
"""The columns of some rows, and the files that hold these."""


def plan(table: Table, snapshot: int) -> Plan:
    """Return a snapshot's schema and the files that hold its rows."""
    scan = table.scan(snapshot_id=_require(table, snapshot))
    return scan.projection(), list(scan.plan_files())


def plan_added(table: Table, snapshot: int) -> Plan:
    """Return a snapshot's schema and the files that this snapshot added."""
    schema = table.scan(snapshot_id=_require(table, snapshot)).projection()
    found = table.metadata.snapshot_by_id(snapshot)
    assert found is not None
    return schema, [FileScanTask(file) for file in added_files(table, found)]


def read(table: Table, schema: Schema, tasks: Sequence[FileScanTask]) -> pa.Table:
    """Return the files' rows, in the schema's columns, in memory."""
    require_files(tasks)
    scan = ArrowScan(table.metadata, table.io, schema, AlwaysTrue())
    return scan.to_table(tasks).cast(of_iceberg(schema))


def show(
    backend: Backend,
    name: str,
    table: Table,
    schema: Schema,
    tasks: Sequence[FileScanTask],
    file: str | None = None,
    row: str | None = None,
) -> None:
    """Create `name` over the files: a view over Parquet where that is right, else a copy.

    With `file` there is a column of that name too: the path of the file that a row lies in. With
    `row` there is one with the row's number in the order of the files, from 1.
    """
    quoted = identifier(name)
    connection = backend.con
    require_files(tasks)
    parquet = in_parquet(table, schema, tasks)
    if parquet is not None:
        named = f", filename = {literal(file)}" if file else ""
        numbered = f", {_number(tasks)} AS {identifier(row)}" if row else ""
        connection.execute(
            f"CREATE VIEW {quoted} AS SELECT *{numbered} FROM read_parquet({parquet}{named})"
        )
        return
    columns = of_iceberg(schema)

    def batches() -> Iterator[pa.RecordBatch]:
        for path, batch in scanned(table, schema, tasks):
            rows = pa.Table.from_batches([batch]).cast(columns).combine_chunks()
            if file:
                rows = rows.append_column(file, pa.repeat(path, rows.num_rows))
            yield from rows.to_batches()

    shown = columns.append(pa.field(file, pa.string())) if file else columns
    connection.register("_incoming", pa.RecordBatchReader.from_batches(shown, batches()))
    numbered = f", row_number() OVER () AS {identifier(row)}" if row else ""
    connection.execute(f"CREATE TABLE {quoted} AS SELECT *{numbered} FROM _incoming")
    connection.unregister("_incoming")


def _number(tasks: Sequence[FileScanTask]) -> str:
    """Return SQL for a row's number over all files, from what DuckDB knows of its place in one."""
    before = list(accumulate((task.file.record_count for task in tasks), initial=0))
    return f"list_extract({before}::BIGINT[], file_index::BIGINT + 1) + file_row_number + 1"


def in_parquet(table: Table, schema: Schema, tasks: Sequence[FileScanTask]) -> str | None:
    """Return the arguments with which DuckDB's ``read_parquet`` gives the rows, if it can."""
    if not tasks or not _plain(table, schema, tasks):
        return None
    if any(is_remote(task.file.file_path) for task in tasks):
        return None
    files = ", ".join(literal(task.file.file_path) for task in tasks)
    if _as_written(table, schema):
        return f"[{files}]"
    columns = ", ".join(
        _column(*pair) for pair in zip(schema.fields, duckdb_types(of_iceberg(schema)), strict=True)
    )
    return f"[{files}], schema = MAP {{{columns}}}"


def is_remote(path: str) -> bool:
    """Tell whether a file is in an object store, which DuckDB does not read by itself."""
    return "://" in path


def require_files(tasks: Sequence[FileScanTask]) -> None:
    """Refuse a plan whose files are not there in full.

    Raises
    ------
    CorruptError
        A data file is missing, has another size than was committed, or no end.
    """
    for task in tasks:
        if is_remote(task.file.file_path):  # where a file is there whole, or its reading fails
            continue
        path, size = Path(task.file.file_path), task.file.file_size_in_bytes
        try:
            with path.open("rb") as file:
                found = file.seek(0, SEEK_END)
                file.seek(-min(4, found), SEEK_END)
                whole = found == size and file.read() == b"PAR1"
        except FileNotFoundError:
            whole = False
        if not whole:
            raise CorruptError(
                f"the data file {path} is missing or altered",
                expected=f"a Parquet file of {size} bytes, as it was committed",
                next_step="restore the lake's folder from a backup",
            )


def _plain(table: Table, schema: Schema, tasks: Sequence[FileScanTask]) -> bool:
    """Whether Parquet read by field id gives the plan's rows: nothing deleted, no file without ids.

    Nested columns have ids that DuckDB does not map, so those need one schema for all files.
    """
    return (
        not any(task.delete_files for task in tasks)
        and "schema.name-mapping.default" not in table.properties
        and (
            len(table.metadata.schemas) == 1
            or all(f.field_type.is_primitive for f in schema.fields)
        )
    )


def _as_written(table: Table, schema: Schema) -> bool:
    """Whether every file has the schema's columns by its names, and in types that DuckDB knows.

    DuckDB pushes what a join tells it into a scan by names, not into one by field ids.
    """
    return (
        len(table.metadata.schemas) == 1  # one is forgotten only where no rows have it
        and schema == sanitize_column_names(schema)
        and all(isinstance(f.field_type, _NAMED_ALIKE) for f in schema.fields)
    )


def duckdb_types(schema: pa.Schema) -> list[str]:
    """Return DuckDB's name of each column's type."""
    import ibis
    from ibis.backends.sql.datatypes import DuckDBType

    return [DuckDBType.to_string(kind) for kind in ibis.schema(schema).types]


def _require(table: Table, snapshot: int) -> int:
    if table.metadata.snapshot_by_id(snapshot) is None:
        raise NotFoundError(
            f"{'.'.join(table.name())} has no snapshot {snapshot}: it expired, or never was",
            expected="one of those that are kept",
            next_step=f"list them: `onward lake history {'.'.join(table.name())}`",
        )
    return snapshot


def _column(field: NestedField, kind: str) -> str:
    entry = f"{{name: {literal(field.name)}, type: {literal(kind)}, default_value: NULL}}"
    return f"{field.field_id}: {entry}"
