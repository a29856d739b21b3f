"""Taking in a source: its rows staged, audited, published; again where another was faster."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from typing import Final

from onward.core.errors import BusyError, DivergedError
from onward.core.ports import Steps
from onward.core.records import Baseline, Batch, ValidationReport
from onward.flow.data import tombstones
from onward.flow.data.audits import fix_baseline, tell_audit
from onward.flow.data.quarantine import settled
from onward.flow.happened import happened, timed
from onward.flow.pipeline.definition import Definition
from onward.flow.progress import at_once
from onward.flow.site import Site
from onward.stages.ingest.config import MicroBatch, Source
from onward.stages.ingest.step import ingest
from onward.stages.validate.quarantine.table import table_of
from onward.stages.validate.step import audit

_ATTEMPTS: Final = 10  # at a table whose columns another process changes meanwhile


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A batch that was taken in outside of a run, and how long that took, in seconds.

    `held` names the batch rules that hold it back; its rows are then not published, and will come
    again. `behind` is how many rows wait at the source, None where it does not say. `left_out` rows
    are about somebody who was erased, and not among the others.
    """

    source: str
    run: str
    rows: int
    published: int
    quarantined: int
    held: tuple[str, ...]
    behind: int | None
    seconds: float
    left_out: int = 0


def take_in(
    steps: Steps, site: Site, definition: Definition, source: Source, run: str
) -> ValidationReport | None:
    """Take in what a source has now, in durable steps of a run; None if there is nothing."""
    batch = steps(f"ingest {source.name}", stage, site, source, run)
    if batch is None:
        return None
    baseline = fix_baseline(steps, site, definition, batch, source.checks)
    return steps(f"validate {source.name}", audited, site, definition, source, batch, baseline)


def take(
    site: Site,
    definition: Definition,
    source: Source,
    run: str,
    limits: MicroBatch | None = None,
) -> Taken | None:
    """Take in a batch of a source outside of a run; None if there is nothing new.

    Safe in several processes at once, and to be killed anywhere: what was not published is read
    again, by whoever comes next.
    """
    began = time.perf_counter()
    batch = stage(site, source, run, limits)
    if batch is None:
        return None
    baseline = fix_baseline(at_once, site, definition, batch, source.checks)
    report = audited(site, definition, source, batch, baseline, limits)
    if report is None:
        return None
    return Taken(
        source=source.name,
        run=run,
        rows=report.rows_in,
        published=report.rows_published,
        quarantined=report.rows_quarantined,
        held=tuple(r.rule for r in report.rules if report.held and not r.passed),
        behind=batch.behind,
        left_out=batch.left_out,
        seconds=time.perf_counter() - began,
    )


def new_id(site: Site) -> str:
    """Return an id for a batch that is taken in outside of a run; ids sort by time."""
    return f"ingest-{site.clock.now():%Y%m%d-%H%M%S}-{secrets.token_hex(4)}"


def stage(site: Site, source: Source, run: str, limits: MicroBatch | None = None) -> Batch | None:
    """Stage a source's new rows on a branch, and tell the ledger."""
    batch, seconds = timed(_staged, site, source, run, limits)
    if batch is not None:
        happened(
            site,
            "batch.ingested",
            batch.table,
            key=batch.ref,
            run=run,
            outputs=(batch.ref,),
            rows=batch.rows,
            left_out=batch.left_out,
            summary=batch.summary,
            seconds=seconds,
        )
    return batch


def _staged(site: Site, source: Source, run: str, limits: MicroBatch | None) -> Batch | None:
    for left in reversed(range(_ATTEMPTS)):
        settled(site, source.table)
        try:
            return ingest(
                source,
                reader=site.reader(source),
                lake=site.lake,
                run=run,
                masks=site.masks,
                quarantine=table_of(source.table),
                limits=limits,
                erased=tombstones.of_source(site.ledger, source),
            )
        except BusyError:  # two processes gave the table its columns at once
            if not left:
                raise
    return None


def audited(
    site: Site,
    definition: Definition,
    source: Source,
    batch: Batch,
    baseline: Baseline | None,
    limits: MicroBatch | None = None,
) -> ValidationReport | None:
    """Audit a batch and tell the ledger; None if other processes took its rows in meanwhile.

    Where another was faster, what is left for this one is staged on the new main and audited there.
    """
    required = tuple(dict.fromkeys((*source.key, source.event_time, source.available_at)))
    found: Batch | None = batch
    left = _ATTEMPTS
    while found is not None:
        try:
            report, seconds = timed(
                audit,
                found,
                source.checks,
                lake=site.lake,
                clock=site.clock,
                required=required,
                baseline=baseline,
                personal=definition.personal,
            )
        except DivergedError:
            found = stage(site, source, batch.run, limits)
        except BusyError:
            left -= 1
            if not left:
                raise
            found = stage(site, source, batch.run, limits)
        else:
            tell_audit(site, found, report, seconds)
            return report
    forget(site, source, batch.run)
    return None


def forget(site: Site, source: Source, run: str) -> None:
    """Drop the branches of a batch that was never published."""
    settled(site, source.table)
    for table in (source.table, table_of(source.table)):
        site.lake.drop_branch(table, f"audit-{run}")
