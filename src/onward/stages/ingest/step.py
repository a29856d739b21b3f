"""Ingest: what is new in a source becomes a batch on an audit branch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from onward.core import upserts
from onward.core.disk import full
from onward.core.errors import OnwardError
from onward.core.ports import Lake, Masks
from onward.core.records import Batch
from onward.stages.ingest import masking
from onward.stages.ingest.config import MicroBatch, Source
from onward.stages.ingest.contract import agree, known_columns
from onward.stages.ingest.port import Desk, Intake, Reader
from onward.stages.ingest.rows import damaged
from onward.stages.ingest.taking import Taking
from onward.stages.ingest.workplace import workplace


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
        summary = {**intake.summary, "key": f"{run}@{base}"}
        if agreed.changes:
            summary["columns"] = "; ".join(agreed.changes)
        state = {**intake.state, **masked, **_joining(source, intake, before)}
        taking = Taking(
            source=source,
            intake=intake,
            agreed=agreed,
            connection=place.connection,
            lake=lake,
            masks=masks,
            quarantine=quarantine,
            erased=erased or {},
            branch=f"audit-{run}",
            summary=summary,
            state=state,
        )
        taken = taking.take()
        intake.confirm()
    nothing = intake.overlaps or (taken.left_out > 0 and intake.mode != "replace")
    if nothing and taken.snapshot.given == 0:
        _move_on(source, before, state, summary, lake=lake, branch=f"audit-{run}")
        return None
    return Batch(
        dataset=source.name,
        table=source.table,
        branch=f"audit-{run}",
        run=run,
        mode=intake.mode,
        rows=taken.snapshot.given,
        base=base,
        snapshot=taken.snapshot.id,
        summary=summary,
        state=state,
        key=source.key,
        order=intake.order,
        parts=taken.parts,
        behind=intake.behind,
        evolution=agreed.evolution,
        left_out=taken.left_out,
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
            told = full(error, folder) or damaged(error)
            told.location = source.location
            raise told from None
