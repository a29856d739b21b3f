"""Partitions: rows take the place of all that main has for some values of one column."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

import pyarrow as pa
from pyiceberg.table import Table

from onward.core.records import Partitions
from onward.infra.lake import views
from onward.infra.lake.upsert import Merged, show_touched, staying


@contextmanager
def replaced(
    table: Table, given: pa.RecordBatchReader, *, partitions: Partitions, spill: Path
) -> Iterator[Merged]:
    """Put the given rows in the place of main's rows in `partitions`.

    Files that hold no such row stay as they are; of the others, what stays is written anew.
    """
    column = partitions.column
    values = pa.array(partitions.values, given.schema.field(column).type)
    backend = views.connect(spill)
    try:
        backend.con.register("_values", pa.table({column: values}))
        backend.con.execute("CREATE TEMP TABLE _new AS FROM _values")
        backend.con.unregister("_values")
        without, held = show_touched(backend, table, [column], given.schema)
        stay = staying(backend, given.schema.names, [column], held) if held else iter(())
        yield Merged(rows=chain(stay, given), without=without)
    finally:
        backend.disconnect()
