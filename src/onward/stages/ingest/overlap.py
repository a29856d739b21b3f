"""What was read again: row versions that the table, or its quarantine, holds already."""

# ruff: noqa: S608 (queries are put together here; names are quoted)

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from onward.core.ports import Lake
from onward.core.sql import identifier
from onward.stages.ingest.config import Source
from onward.stages.ingest.port import Intake

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

_HELD: Final = "_held"
_LATEST: Final = "_latest"


def unread(
    rows: pa.RecordBatchReader,
    query: str,
    source: Source,
    intake: Intake,
    *,
    quarantine: str | None,
    lake: Lake,
    connection: DuckDBPyConnection,
) -> pa.RecordBatchReader:
    """Return the rows of a query without the versions that were published or quarantined.

    A version is a row's key and the intake's `order`; NULL equals NULL. Of a table that is
    upserted a later version stands for the earlier ones. Only what was read from the query's least
    `order` on is looked at.
    """
    import pyarrow as pa

    order = intake.order
    assert order is not None
    own = connection.cursor()
    least = own.execute(f"SELECT min({identifier(order)}) FROM ({query})").fetchone()
    tables = {source.table: intake.mode == "upsert"}
    if quarantine is not None:
        tables[quarantine] = False
    if not _hold(own, source, (*source.key, order), least and least[0], tables, lake):
        return rows
    came, held = f"_came.{identifier(order)}", f"{_HELD}.{identifier(order)}"
    same = " AND ".join(
        f"_came.{identifier(name)} IS NOT DISTINCT FROM {_HELD}.{identifier(name)}"
        for name in source.key
    )
    known = f"{same} AND ({held} IS NOT DISTINCT FROM {came} OR ({_LATEST} AND {held} > {came}))"

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in rows:
            own.register("_came", pa.Table.from_batches([batch]))
            fresh = own.execute(f"FROM _came WHERE NOT EXISTS (FROM {_HELD} WHERE {known})")
            yield from fresh.to_arrow_table().cast(rows.schema).to_batches()
        own.close()

    return pa.RecordBatchReader.from_batches(rows.schema, batches())


def _hold(
    connection: DuckDBPyConnection,
    source: Source,
    version: Sequence[str],
    least: object,
    tables: Mapping[str, bool],
    lake: Lake,
) -> bool:
    """Put the versions that the tables hold from `least` on into a table of the connection.

    `tables` says of each whether it holds the latest version of each key alone. False if none has
    these columns.
    """
    made = False
    for table, latest in tables.items():
        schema = lake.schema(table)
        names = {n: _stored(n, source, schema) for n in version} if schema is not None else {}
        if schema is None or None in names.values():
            continue  # nothing was ever quarantined, or the key is of a later date
        columns = ", ".join(f"{identifier(str(o))} AS {identifier(n)}" for n, o in names.items())
        with lake.open({"held": lake.dataset(table)}) as backend:
            found = backend.con.execute(
                f"SELECT {columns}, {latest} AS {_LATEST} FROM held "
                f"WHERE {identifier(str(names[version[-1]]))} >= ?",
                [least],
            )
            connection.register("_found", found.to_arrow_reader())
            verb = f"INSERT INTO {_HELD}" if made else f"CREATE OR REPLACE TABLE {_HELD} AS"
            connection.execute(f"{verb} FROM _found")
            connection.unregister("_found")
            made = True
    return made


def _stored(name: str, source: Source, schema: pa.Schema) -> str | None:
    """Return what a table calls a column, which it may know by the name before; None if not."""
    names = (name, source.renamed.get(name))
    return next((n for n in names if n in schema.names), None)
