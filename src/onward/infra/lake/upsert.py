"""Upserts: rows take the place of main's rows with the same key; files that hold none stay."""

# ruff: noqa: S608 (queries are put together here; names are quoted)

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from onward.core.records import Evolution
from onward.core.sql import identifier, literal
from onward.infra.lake import views
from onward.infra.lake.retype import show_evolved

if TYPE_CHECKING:
    from ibis.backends.duckdb import Backend

_ROWS_AT_A_TIME = 122_880  # DuckDB's row group
_FILE = "_in_file"


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """`rows` are what the files `without` become: the rows that stay of them, and the new ones."""

    rows: Iterator[pa.RecordBatch]
    without: Sequence[DataFile]


@contextmanager
def merged(
    table: Table,
    given: pa.RecordBatchReader,
    *,
    key: Sequence[str],
    order: str | None,
    spill: Path,
    evolution: Evolution | None = None,
) -> Iterator[Merged]:
    """Merge the given rows into main's head; what does not fit in memory spills to disk.

    Of rows with one key the greatest `order` stays, NULL being the least; of equals a given row
    before one of main, and the last of those given. NULL in a key equals NULL.
    """
    backend = views.connect(spill)
    try:
        backend.con.register("_given", given)
        backend.con.execute("CREATE TEMP TABLE _arrived AS FROM _given")
        backend.con.unregister("_given")
        keys = ", ".join(map(identifier, key))
        newest = f"{identifier(order)} DESC NULLS LAST, " if order else ""
        backend.con.execute(
            "CREATE TEMP TABLE _new AS FROM _arrived QUALIFY row_number() OVER "
            f"(PARTITION BY {keys} ORDER BY {newest}rowid DESC) = 1"
        )
        without, held = show_touched(backend, table, key, given.schema, evolution)
        if held and order is not None and order in held:
            ours, theirs = f"_main.{identifier(order)}", f"_new.{identifier(order)}"
            backend.con.execute(
                f"DELETE FROM _new WHERE EXISTS (FROM _main WHERE {_same(key)} "
                f"AND {ours} IS NOT NULL AND ({theirs} IS NULL OR {ours} > {theirs}))"
            )
        names = given.schema.names
        stay = staying(backend, names, key, held) if held else iter(())
        yield Merged(rows=chain(stay, _new(backend, names)), without=without)
    finally:
        backend.disconnect()


def show_touched(
    backend: Backend,
    table: Table,
    key: Sequence[str],
    target: pa.Schema,
    evolution: Evolution | None = None,
) -> tuple[Sequence[DataFile], Sequence[str]]:
    """Show, as ``_main``, the files of main's head that hold a key of ``_new``.

    All of them, in the columns of `target`, where these change. Returns them and their columns'
    names, none if there is no such file.
    """
    head = table.current_snapshot()
    if head is None:
        return [], []
    schema, tasks = views.plan(table, head.snapshot_id)
    if evolution is None and not set(key) <= {field.name for field in schema.fields}:
        return [], []  # the key is of a later date than main's rows
    if not tasks:
        return [], []
    if evolution is not None:
        held = show_evolved(backend, "_main", table, schema, tasks, target, evolution)
        return [task.file for task in tasks], held
    views.show(backend, "_all", table, schema, tasks, file=_FILE)
    found = backend.con.execute(
        f"SELECT DISTINCT {_FILE} FROM _all AS _main WHERE EXISTS (FROM _new WHERE {_same(key)})"
    ).fetchall()
    paths = {path for (path,) in found}
    tasks = [task for task in tasks if task.file.file_path in paths]
    if not tasks:
        return [], []
    if views.in_parquet(table, schema, tasks) is not None:
        views.show(backend, "_main", table, schema, tasks)
    else:  # they were copied: do not do that twice
        listed = ", ".join(map(literal, sorted(paths)))
        backend.con.execute(
            f"CREATE VIEW _main AS SELECT * EXCLUDE ({_FILE}) FROM _all WHERE {_FILE} IN ({listed})"
        )
    return [task.file for task in tasks], [field.name for field in schema.fields]


def staying(
    backend: Backend, names: Sequence[str], key: Sequence[str], held: Sequence[str]
) -> Iterator[pa.RecordBatch]:
    """Yield, in the columns `names`, the rows of ``_main`` that have no key of ``_new``."""
    columns = ", ".join(identifier(n) if n in held else f"NULL AS {identifier(n)}" for n in names)
    query = f"SELECT {columns} FROM _main WHERE NOT EXISTS (FROM _new WHERE {_same(key)})"
    yield from backend.con.execute(query).to_arrow_reader(_ROWS_AT_A_TIME)


def _new(backend: Backend, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
    columns = ", ".join(map(identifier, names))
    yield from backend.con.execute(f"SELECT {columns} FROM _new").to_arrow_reader(_ROWS_AT_A_TIME)


def _same(key: Sequence[str]) -> str:
    return " AND ".join(
        f"_main.{identifier(name)} IS NOT DISTINCT FROM _new.{identifier(name)}" for name in key
    )
