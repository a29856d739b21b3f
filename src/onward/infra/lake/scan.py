"""Rows of data files as batches, one file's in memory at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa
from pyiceberg.expressions import AlwaysTrue
from pyiceberg.io.pyarrow import ArrowScan
from pyiceberg.schema import Schema
from pyiceberg.table import FileScanTask, Table


def scanned(
    table: Table, schema: Schema, tasks: Sequence[FileScanTask]
) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Yield the files' rows in the columns of `schema`, each batch with its file's path.

    Given several files, PyIceberg reads them all at once, and holds what nobody took yet.
    """
    scan = ArrowScan(table.metadata, table.io, schema, AlwaysTrue())
    for task in tasks:
        for batch in scan.to_record_batches([task]):
            yield task.file.file_path, batch
