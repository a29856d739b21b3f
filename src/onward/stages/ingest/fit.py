"""Whether a source's declaration fits its columns, told before anything is taken in."""

# ruff: noqa: S608 (a query is put together here, from one that was)

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from onward.core.ports import Masks
from onward.stages.ingest import masking
from onward.stages.ingest.columns import (
    RESERVED,
    column_types,
    require_declared,
    require_times,
)
from onward.stages.ingest.config import MicroBatch, Source
from onward.stages.ingest.contract import agree, known_columns
from onward.stages.ingest.port import Reader
from onward.stages.ingest.reading import published_types
from onward.stages.ingest.rows import Streamed, swiftly
from onward.stages.ingest.step import desk

if TYPE_CHECKING:
    import pyarrow as pa

_A_LOOK: Final = MicroBatch(rows=1_000, bytes=1_000_000, wait=timedelta(seconds=2))


def published_columns(source: Source, stored: pa.Schema) -> pa.Schema:
    """Return a published table's columns under the names that they have now.

    Raises
    ------
    DeclarationError
        The source names a column that the table does not have, or a time that is none. Columns
        that may yet come are let be, as long as each row has a key and its times.
    """
    import pyarrow as pa

    read = masking.as_read(source, stored)
    names = known_columns(source, read)
    assert read is not None  # as `stored` is not
    assert names is not None
    require_declared(source, names, settled=source.on_schema_change == "refuse")
    require_times(source, dict(zip(names, published_types(read).values(), strict=True)))
    return pa.schema([field.with_name(name) for field, name in zip(stored, names, strict=False)])


def first_columns(source: Source, *, reader: Reader, masks: Masks | None) -> pa.Schema | None:
    """Return the columns with which `source` would first be published; None if it has no rows.

    Nothing is taken in: the next intake begins where this one did.

    Raises
    ------
    DeclarationError
        The source names a column that its rows do not have, or a time that is none.
    DataError
        The origin does not answer, or is damaged.
    """
    import pyarrow as pa

    with desk(source, _A_LOOK) as place:
        intake = reader.open(source, {}, known=None, desk=place)
        if intake is None:
            return None
        agreed = agree(source, intake.scan, None, place.connection)
        types = column_types(source, agreed, place.connection)
        rows = Streamed(place.connection, f"SELECT * FROM ({swiftly(agreed.scan, types)}) LIMIT 0")
        found = masking.masked(source, masks, rows.reader()).schema
        return pa.schema([field for field in found if field.name not in RESERVED])
