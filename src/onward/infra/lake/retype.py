"""Retyping: a table's rows in the types that some of its columns are given."""

# ruff: noqa: S608 (queries are put together here; names are quoted)

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pyarrow as pa
from pyiceberg.schema import Schema
from pyiceberg.table import FileScanTask, Table

from onward.core.errors import DataError
from onward.core.records import Evolution
from onward.core.sql import identifier
from onward.infra.lake import columns, views

if TYPE_CHECKING:
    from ibis.backends.duckdb import Backend

_ROWS_AT_A_TIME: Final = 122_880  # DuckDB's row group
_EXACT: Final = 2**53  # beyond, a double does not hold every whole number


@contextmanager
def retyped(
    table: Table, target: pa.Schema, evolution: Evolution, spill: Path
) -> Iterator[Iterator[pa.RecordBatch]]:
    """Read the rows of main's head in the columns that they will have, `target`.

    Raises
    ------
    DataError
        A whole number is too great to become a double.
    """
    head = table.current_snapshot()
    assert head is not None
    schema, tasks = views.plan(table, head.snapshot_id)
    backend = views.connect(spill)
    try:
        held = show_evolved(backend, "_main", table, schema, tasks, target, evolution)
        selected = ", ".join(
            identifier(f.name) if f.name in held else f"NULL AS {identifier(f.name)}"
            for f in target
        )
        rows = backend.con.execute(f"SELECT {selected} FROM _main")
        yield iter(rows.to_arrow_reader(_ROWS_AT_A_TIME))
    finally:
        backend.disconnect()


def show_evolved(
    backend: Backend,
    name: str,
    table: Table,
    schema: Schema,
    tasks: Sequence[FileScanTask],
    target: pa.Schema,
    evolution: Evolution,
) -> list[str]:
    """Show the files' rows under the names and in the types that they will have.

    Returns the columns' names.
    """
    views.show(backend, "_stored", table, schema, tasks)
    before = [f.name for f in schema.fields]
    after = columns.renamed(before, evolution)
    kinds = dict(zip(target.names, views.duckdb_types(target), strict=True))
    for old, new in zip(before, after, strict=True):
        if new in evolution.retyped and pa.types.is_floating(target.field(new).type):
            _require_exact(backend, old, table)
    selected = ", ".join(
        (
            f"CAST({identifier(old)} AS {kinds[new]})"
            if new in evolution.retyped
            else identifier(old)
        )
        + f" AS {identifier(new)}"
        for old, new in zip(before, after, strict=True)
    )
    quoted = identifier(name)
    backend.con.execute(f"CREATE VIEW {quoted} AS SELECT {selected} FROM _stored")
    return after


def _require_exact(backend: Backend, column: str, table: Table) -> None:
    quoted = identifier(column)
    found = backend.con.execute(
        f"SELECT {quoted} FROM _stored WHERE abs(CAST({quoted} AS HUGEINT)) > {_EXACT} LIMIT 1"
    ).fetchone()
    if found is not None:
        raise DataError(
            f"column {column!r} of {'.'.join(table.name())} holds {found[0]}, which a double "
            "does not hold exactly",
            expected=f"whole numbers up to {_EXACT:,}",
            next_step="keep the column as it is, or give the changed data a new name",
        )
