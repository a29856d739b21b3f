"""The rows of a scan, in one pass where all is well.

Nearly always every value can be read, and a sample shows the types that all values have. So rows
are read and passed on at once (`swiftly`), with an eye on each value: at the first one in doubt
the stream ends, what was written of it is thrown away, and they are read again with care
(`carefully`): types are inferred from every value, and the text of what cannot be read is kept.
"""

# ruff: noqa: S608 (queries are put together here; names and text are quoted)

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Final

from onward.core.disk import full
from onward.core.errors import DataError
from onward.core.records import UNREADABLE
from onward.core.sql import identifier, literal
from onward.stages.ingest.looks import look
from onward.stages.ingest.reading import Column, read_as, unreadable
from onward.stages.ingest.scan import Scan

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

_ROWS_AT_A_TIME: Final = 122_880  # DuckDB's row group
DOUBT: Final = "_doubt"
"""The column that says of a row whether a value of it is in doubt."""


def swiftly(scan: Scan, types: Mapping[str, str], presumed: Collection[str] = ()) -> str:
    """Return the query that reads a scan's columns as `types`, in their order, then its `part`.

    Its column `DOUBT` is true of a row with a value that cannot be read, or that does not look
    like its column's type where that is `presumed`; there is none where no row could be such.
    """
    columns = [read_as(name, scan.columns[name], kind) for name, kind in types.items()]
    read = [f"{c.value} AS _value_{i}" for i, c in enumerate(columns)]
    told = [f"_value_{i} AS {identifier(c.name)}" for i, c in enumerate(columns)]
    doubts = []
    for i, c in enumerate(columns):
        if c.doubtful:
            value, text = f"_value_{i}", f"_text_{i}"
            read.append(f"{c.text} AS {text}")
            if c.name in presumed:
                doubts.append(f"NOT {look(types[c.name], text, f'{value} IS NOT NULL')}")
            else:
                doubts.append(unreadable(value, text))
    if scan.unreadable:
        read.append(UNREADABLE)
        doubts.append(f"{UNREADABLE} IS NOT NULL")
    if scan.part:
        read.append(identifier(scan.part))
        told.append(identifier(scan.part))
    if doubts:
        told.append(f"({' OR '.join(f'({doubt})' for doubt in doubts)}) IS TRUE AS {DOUBT}")
    # Values are named first and looked at then, so that each is read once.
    return f"SELECT {', '.join(told)} FROM (SELECT {', '.join(read)} FROM ({scan.sql}))"


def carefully(
    connection: DuckDBPyConnection,
    scan: Scan,
    types: Mapping[str, str],
    *,
    hidden: Collection[str] = (),
) -> str:
    """Return the query that reads a scan's columns as `types`, in their order, then its `part`.

    It has the column `UNREADABLE` only where there is a value that cannot be read; of the columns
    `hidden` it does not say which, and with any of a row that could not be told apart neither.
    """
    columns = [read_as(name, scan.columns[name], kind) for name, kind in types.items()]
    selected = [f"{c.value} AS {identifier(c.name)}" for c in columns]
    told = {unreadable(c.value, c.text): _told(c, hidden) for c in columns if c.doubtful}
    if scan.unreadable:
        told[f"{UNREADABLE} IS NOT NULL"] = literal("value=(masked)") if hidden else UNREADABLE
    if told:
        found = connection.execute(
            f"SELECT count(*) FROM (SELECT 1 FROM ({scan.sql}) WHERE {' OR '.join(told)} LIMIT 1)"
        ).fetchone()
        if found and found[0]:
            texts = ", ".join(f"CASE WHEN {test} THEN {text} END" for test, text in told.items())
            selected.append(f"nullif(concat_ws('; ', {texts}), '') AS {UNREADABLE}")
    if scan.part:
        selected.append(identifier(scan.part))
    return f"SELECT {', '.join(selected)} FROM ({scan.sql})"


class InDoubtError(Exception):
    """Ends a stream; whoever reads it may turn it into another: `Streamed.doubted` stays."""


class Streamed:
    """A query's rows as a stream, which ends with an error at a row in doubt: then `doubted`."""

    def __init__(self, connection: DuckDBPyConnection, query: str) -> None:
        self.doubted = False
        self._rows = connection.execute(query).to_arrow_reader(_ROWS_AT_A_TIME)

    def reader(self) -> pa.RecordBatchReader:
        """Return the stream; it can be read once.

        Reading raises `DataError` where the rows cannot be read.
        """
        import pyarrow as pa

        schema = self._rows.schema
        kept = pa.schema([field for field in schema if field.name != DOUBT])
        return pa.RecordBatchReader.from_batches(kept, self._batches(kept))

    def _batches(self, kept: pa.Schema) -> Iterator[pa.RecordBatch]:
        import duckdb
        import pyarrow as pa
        import pyarrow.compute as pc

        try:
            for batch in self._rows:
                if DOUBT in batch.schema.names and pc.any(batch.column(DOUBT)).as_py():
                    self.doubted = True
                    raise InDoubtError
                yield batch.select(kept.names)
        except (duckdb.Error, pa.ArrowException, OSError) as error:
            raise full(error) or damaged(error) from None


def damaged(error: Exception) -> DataError:
    """Return the error for rows that DuckDB cannot read."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    # Rows may not be shown: what is masked in them is not masked yet.
    lines = [line for line in lines if not line.startswith("Original Line")]
    file = next((f"{line}: " for line in lines if line.startswith("file")), "")
    return DataError(
        f"the rows cannot be read: {file}{' '.join(lines[:3])}",
        expected="complete, well-formed files",
        next_step="mend or remove the file and run again: nothing was taken in",
    )


def _told(column: Column, hidden: Collection[str]) -> str:
    if column.name in hidden:
        return literal(f"{column.name}=(masked)")
    return f"{literal(column.name + '=')} || {column.text}"
