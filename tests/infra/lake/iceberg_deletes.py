"""Positional deletes, which PyIceberg reads and does not write."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.manifest import (
    DataFile,
    DataFileContent,
    FileFormat,
    ManifestContent,
    ManifestEntry,
    ManifestEntryStatus,
    ManifestWriterV2,
)
from pyiceberg.table import Table
from pyiceberg.typedef import Record

_SCHEMA = pa.schema(
    [
        pa.field("file_path", pa.string(), False, {"PARQUET:field_id": "2147483546"}),
        pa.field("pos", pa.int64(), False, {"PARQUET:field_id": "2147483545"}),
    ]
)


class _DeletesWriter(ManifestWriterV2):
    def content(self) -> ManifestContent:
        return ManifestContent.DELETES


def delete_positions(table: Table, positions: list[int]) -> None:
    """Commit to main that these rows of its one data file are deleted."""
    (task,) = table.scan().plan_files()
    path = f"{table.location()}/data/deletes.parquet"
    columns = {"file_path": [task.file.file_path] * len(positions), "pos": positions}
    pq.write_table(pa.table(columns, schema=_SCHEMA), path)
    file = DataFile.from_args(
        content=DataFileContent.POSITION_DELETES,
        file_path=path,
        file_format=FileFormat.PARQUET,
        partition=Record(),
        record_count=len(positions),
        file_size_in_bytes=len(table.io.new_input(path)),
        spec_id=table.spec().spec_id,
    )
    with table.transaction() as transaction, transaction.update_snapshot().fast_append() as append:
        with _DeletesWriter(
            table.spec(), table.schema(), append.new_manifest_output(), append.snapshot_id, "null"
        ) as writer:
            writer.add(
                ManifestEntry.from_args(
                    status=ManifestEntryStatus.ADDED,
                    snapshot_id=append.snapshot_id,
                    sequence_number=None,
                    file_sequence_number=None,
                    data_file=file,
                )
            )
        deletes = writer.to_manifest_file()
        append._process_manifests = lambda manifests: [*manifests, deletes]
