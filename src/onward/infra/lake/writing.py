"""Rows written to data files as they come: memory holds a row group or two, however many they are.

PyIceberg's own `write_file` takes a file's rows at once, and writes when all of them are there.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain
from typing import Final

import pyarrow as pa
from pyiceberg.io import FileIO
from pyiceberg.io.fileformat import DataFileStatistics, FileFormatFactory
from pyiceberg.io.pyarrow import _to_requested_schema
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
from pyiceberg.schema import sanitize_column_names
from pyiceberg.table.locations import load_location_provider
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.typedef import Record

GROUP: Final = 122_880
"""Rows of a row group: as many as DuckDB's have. A core scans one, so that all share in a file."""


def data_files(
    io: FileIO, metadata: TableMetadata, batches: Iterator[pa.RecordBatch], file_bytes: int
) -> Iterator[DataFile]:
    """Write a table's rows, and yield each file when it is closed, as a commit names it.

    A file ends with the row group by which its rows take `file_bytes` as Arrow. Where the batches
    end in an error, the file that is open is removed.
    """
    provider = load_location_provider(metadata.location, metadata.properties)
    groups = _groups(batches, file_bytes)
    for first in groups:
        path = provider.new_data_location(f"{uuid.uuid4()}.parquet")
        try:
            file = _written(io, path, metadata, chain([first], groups), file_bytes)
        except BaseException:
            with suppress(OSError):
                io.delete(path)
            raise
        yield file


def named(
    path: str, size: int, metadata: TableMetadata, statistics: DataFileStatistics
) -> DataFile:
    """Return a file of `size` bytes, as a commit names it."""
    return DataFile.from_args(
        content=DataFileContent.DATA,
        file_path=path,
        file_format=FileFormat.PARQUET,
        partition=Record(),
        file_size_in_bytes=size,
        sort_order_id=None,
        spec_id=metadata.default_spec_id,
        equality_ids=None,
        key_metadata=None,
        **statistics.to_serialized_dict(),
    )


def _written(
    io: FileIO,
    path: str,
    metadata: TableMetadata,
    groups: Iterator[pa.RecordBatch],
    file_bytes: int,
) -> DataFile:
    model, output, size = FileFormatFactory.get(FileFormat.PARQUET), io.new_output(path), 0
    schema = metadata.schema()
    stored = sanitize_column_names(schema)
    with model.create_writer(output, stored, metadata.properties) as writer:
        for group in groups:
            rows = _to_requested_schema(
                stored, schema, group, include_field_ids=True, format_model=model
            )
            writer.write(pa.Table.from_batches([rows]))
            size += group.nbytes
            if size >= file_bytes:
                break
    return named(path, len(output), metadata, writer.result())


def _groups(batches: Iterator[pa.RecordBatch], most: int) -> Iterator[pa.RecordBatch]:
    """Yield the rows in batches of `GROUP`, or of `most` bytes; one of that size is passed on."""
    held: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in batches:
        if not held and batch.num_rows == GROUP:
            yield batch
            continue
        held.append(batch)
        rows, size = rows + batch.num_rows, size + batch.nbytes
        if rows >= GROUP or size >= most:
            whole = rows - rows % GROUP if size < most else rows
            table = pa.Table.from_batches(held)
            yield from table.slice(0, whole).combine_chunks().to_batches(GROUP)
            left = table.slice(whole)
            held, rows, size = left.to_batches(), left.num_rows, left.nbytes
    if rows:
        yield from pa.Table.from_batches(held).combine_chunks().to_batches()
