"""Ingest: what is new in a source becomes a batch on an audit branch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from onward.core import upserts
from onward.core.errors import DataError, OnwardError
from onward.core.ports import Lake, Masks
from onward.core.records import Batch
from onward.stages.ingest import masking
from onward.stages.ingest.columns import column_types
from onward.stages.ingest.config import MicroBatch, Source
from onward.stages.ingest.contract import agree, known_columns
from onward.stages.ingest.erased import Spared
from onward.stages.ingest.overlap import unread
from onward.stages.ingest.parts import Parted
from onward.stages.ingest.port import Desk, Intake, Reader
from onward.stages.ingest.reading import reading
from onward.stages.ingest.workplace import workplace

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

_ROWS_AT_A_TIME = 122_880  # DuckDB's row group


def pending(source: Source, *, reader: Reader, lake: Lake) -> bool:
    """Tell whether `source` has rows that are not published yet, without reading any.

    Raises
    ------
    DataError, DeclarationError
        The origin does not answer, or is not what was declared.
    """
    head = lake.head(source.table)
    return reader.pending(source, head.state if head else {})


def ingest(
    source: Source,
    *,
    reader: Reader,
    lake: Lake,
    run: str,
    masks: Masks | None = None,
    quarantine: str | None = None,
    limits: MicroBatch | None = None,
    erased: Mapping[str, frozenset[str]] | None = None,
) -> Batch | None:
    """Stage the new rows of `source` on branch ``audit-<run>``; None if there are none.

    The rows have the published columns, and `_unreadable` besides where a value could not be
    read as its type. Nothing that a reader can see changes. Repeating it after a crash stages
    afresh.

    Parameters
    ----------
    reader
        The reader of the source's origin.
    run
        The run's id.
    masks
        What masks the columns that the source says; needed only where it says some.
    quarantine
        The table of the source's rows that failed their audit: what is there was read.
    limits
        How much to take at most, and how long to wait for it; all that is there now unless given.
    erased
        The hashes of erased subjects by column: their rows are left out, raw and masked alike.

    Raises
    ------
    DataError
        The origin changed after it was read, or is damaged; columns came, went or changed their
        type, and the source does not let them.
    DeclarationError
        The key, event time or availability time names no column, or none that holds times.
    """
    head = lake.head(source.table)
    before = head.state if head else {}
    stored = lake.schema(source.table)
    published = masking.as_read(source, stored)
    masked = masking.entry(source, masks, before, stored)
    base = head.id if head else None
    known = known_columns(source, published)
    with desk(source, limits) as place:
        intake = reader.open(source, before, known=known, desk=place)
        if intake is None:
            return None
        agreed = agree(source, intake.scan, published, place.connection)
        types = column_types(source, agreed, place.connection)
        query = reading(place.connection, agreed.scan, types, hidden=source.masked)
        parted = Parted(_stream(place.connection, query), agreed.scan.part, intake.names)
        spared = Spared(erased or {}, masks)
        rows = masking.masked(source, masks, spared.reader(parted.reader()))
        rows = spared.reader(rows) if source.masked else rows
        if intake.overlaps:
            rows = unread(
                rows, query, source, intake,
                quarantine=quarantine, lake=lake, connection=place.connection,
            )  # fmt: skip
        counted = Counted(rows)
        summary = {**intake.summary, "key": f"{run}@{base}"}
        if agreed.changes:
            summary["columns"] = "; ".join(agreed.changes)
        state = {**intake.state, **masked, **_joining(source, intake, before)}
        staged = lake.stage(
            source.table,
            counted.reader(),
            branch=f"audit-{run}",
            mode="replace" if intake.mode == "replace" else "append",
            summary=summary,
            state=state,
            evolution=agreed.evolution,
        )
        intake.confirm()
    nothing = intake.overlaps or (spared.left_out > 0 and intake.mode != "replace")
    if nothing and counted.count == 0:
        _move_on(source, before, state, summary, lake=lake, branch=f"audit-{run}")
        return None
    return Batch(
        dataset=source.name,
        table=source.table,
        branch=f"audit-{run}",
        run=run,
        mode=intake.mode,
        rows=counted.count,
        base=base,
        snapshot=staged.id,
        summary=summary,
        state=state,
        key=source.key,
        order=intake.order,
        parts=() if intake.overlaps or spared.left_out else parted.parts(),
        behind=intake.behind,
        evolution=agreed.evolution,
        left_out=spared.left_out,
    )


def _joining(source: Source, intake: Intake, before: Mapping[str, str]) -> Mapping[str, str]:
    """Return the state's entry on how the rows join the table."""
    if intake.mode == "upsert":
        return upserts.entry(source.key, intake.order)
    return upserts.cleared(before)


def _move_on(
    source: Source,
    before: Mapping[str, str],
    state: Mapping[str, str],
    summary: Mapping[str, str],
    *,
    lake: Lake,
    branch: str,
) -> None:
    """Let the cursor pass rows of which none is to be taken in: there is nothing to audit."""
    lake.drop_branch(source.table, branch)
    schema = lake.schema(source.table)
    if schema is not None and not state.items() <= before.items():
        rows = schema.empty_table()
        lake.append(source.table, rows, key=summary["key"], summary=summary, state=state)


class Counted:
    """Rows as a stream of Arrow batches, counted as they pass."""

    def __init__(self, rows: pa.RecordBatchReader) -> None:
        self.count = 0
        self._rows = rows

    def reader(self) -> pa.RecordBatchReader:
        """Return the stream; it can be read once."""
        import pyarrow as pa

        return pa.RecordBatchReader.from_batches(self._rows.schema, self._batches())

    def _batches(self) -> Iterator[pa.RecordBatch]:
        for batch in self._rows:
            self.count += batch.num_rows
            yield batch


def _stream(connection: DuckDBPyConnection, query: str) -> pa.RecordBatchReader:
    """Return a query's rows; reading them raises `DataError` where they cannot be read."""
    import duckdb
    import pyarrow as pa

    rows = connection.execute(query).to_arrow_reader(_ROWS_AT_A_TIME)

    def batches() -> Iterator[pa.RecordBatch]:
        try:
            yield from rows
        except (duckdb.Error, pa.ArrowException, OSError) as error:
            raise _damaged(error) from None

    return pa.RecordBatchReader.from_batches(rows.schema, batches())


@contextmanager
def desk(source: Source, limits: MicroBatch | None) -> Iterator[Desk]:
    """Open DuckDB, and a folder for what does not fit in memory; errors name the source."""
    import duckdb

    with (
        workplace() as folder,
        duckdb.connect(config={"temp_directory": str(folder / "spill")}) as connection,
    ):
        spool = folder / "spool"
        spool.mkdir()
        connection.execute("SET TimeZone = 'UTC'")
        try:
            yield Desk(connection=connection, folder=spool, limits=limits)
        except OnwardError as error:
            error.location = error.location or source.location
            raise
        except duckdb.Error as error:
            damaged = _damaged(error)
            damaged.location = source.location
            raise damaged from None


def _damaged(error: Exception) -> DataError:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    # Rows may not be shown: what is masked in them is not masked yet.
    lines = [line for line in lines if not line.startswith("Original Line")]
    file = next((f"{line}: " for line in lines if line.startswith("file")), "")
    return DataError(
        f"the rows cannot be read: {file}{' '.join(lines[:3])}",
        expected="complete, well-formed files",
        next_step="mend or remove the file and run again: nothing was taken in",
    )
