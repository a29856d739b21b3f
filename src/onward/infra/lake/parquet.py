"""Parquet that another writer than PyIceberg wrote, as a data file of a table."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
from pyiceberg.io.pyarrow import (
    compute_statistics_plan,
    data_file_statistics_from_parquet_metadata,
    parquet_path_to_id_mapping,
)
from pyiceberg.manifest import DataFile
from pyiceberg.schema import Schema, sanitize_column_names
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.types import IcebergType, ListType, MapType, StructType

from onward.core.sql import literal
from onward.infra.lake.writing import named


def data_file(path: Path, metadata: TableMetadata) -> DataFile:
    """Return a written file, with the statistics in its footer, as a commit names it."""
    footer = pq.read_metadata(path)
    schema = sanitize_column_names(metadata.schema())
    statistics = data_file_statistics_from_parquet_metadata(
        footer,
        stats_columns=compute_statistics_plan(schema, metadata.properties),
        parquet_column_mapping=(ids := parquet_path_to_id_mapping(schema)),
    )
    for column in _unbounded(footer):
        statistics.column_aggregates.pop(ids[column], None)
    return named(str(path), path.stat().st_size, metadata, statistics)


def _unbounded(footer: pq.FileMetaData) -> set[str]:
    """Return the columns of which some row group has values but no bounds, such as of NaN.

    PyIceberg would take the bounds of the other row groups for those of the file, and a reader
    would pass rows over.
    """
    found = set()
    for group in map(footer.row_group, range(footer.num_row_groups)):
        for column in map(group.column, range(group.num_columns)):
            told = column.statistics
            if told is None or not (told.has_min_max or told.null_count == column.num_values):
                found.add(column.path_in_schema)
    return found


def field_ids(schema: Schema) -> str:
    """Return the columns' ids as DuckDB's ``COPY`` takes them, nested ones too."""
    fields = sanitize_column_names(schema).fields
    ids = (f"{literal(field.name)}: {_ids(field.field_id, field.field_type)}" for field in fields)
    return f"{{{', '.join(ids)}}}"


def _ids(own: int, kind: IcebergType) -> str:
    if isinstance(kind, ListType):
        inner = {"element": _ids(kind.element_id, kind.element_type)}
    elif isinstance(kind, MapType):
        inner = {
            "key": _ids(kind.key_id, kind.key_type),
            "value": _ids(kind.value_id, kind.value_type),
        }
    elif isinstance(kind, StructType):
        inner = {field.name: _ids(field.field_id, field.field_type) for field in kind.fields}
    else:
        return str(own)
    listed = (f"{literal(name)}: {ids}" for name, ids in inner.items())
    return f"{{'__duckdb_field_id': {own}, {', '.join(listed)}}}"
