"""What an audit is held against, and telling the ledger what it decided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from onward.core.declarations import Check
from onward.core.ports import Steps
from onward.core.records import Baseline, Batch, DatasetRef, ValidationReport
from onward.core.refs import ref
from onward.flow.happened import fact, happened
from onward.flow.pipeline.definition import Definition
from onward.flow.site import Site

_AUDITED: Final = "batch.audited"


def fix_baseline(
    steps: Steps, site: Site, definition: Definition, batch: Batch, checks: Sequence[Check]
) -> Baseline | None:
    """Fix what `checks` hold a batch against, in a step; None where the batch alone decides.

    What is recorded does not change when the run is cut short and the audit repeated.
    """
    if all(check.alone for check in checks):
        return None
    return steps(f"baseline {batch.dataset}", _baseline, site, definition, batch, checks)


def beside(
    site: Site, definition: Definition, dataset: str, checks: Sequence[Check]
) -> Mapping[str, DatasetRef]:
    """Return what the checks of `dataset` read besides it, as it is published now, by name."""
    names = sorted({name for check in checks for name in check.reads} - {dataset})
    tables = {name: definition.table(name) for name in names}
    return {
        name: site.lake.dataset(table)
        for name, table in tables.items()
        if site.lake.head(table) is not None
    }


def _baseline(
    site: Site, definition: Definition, batch: Batch, checks: Sequence[Check]
) -> Baseline:
    last = max(check.profiles for check in checks)
    return Baseline(
        at=site.clock.now(),
        datasets=beside(site, definition, batch.dataset, checks),
        profiles=tuple(_profiles(site, batch, last)) if last else (),
    )


def _profiles(site: Site, batch: Batch, last: int) -> Sequence[Mapping[str, Any]]:
    """Return the profiles of the table's `last` published batches, newest first."""
    look_at = 8 * last
    while True:
        told = site.ledger.events(
            kind=_AUDITED, subject=batch.table, newest_first=True, limit=look_at
        )
        reports = [fact(t, "report", ValidationReport) for t in told if t.event.key != batch.ref]
        found = [report.profile for report in reports if report.published is not None]
        if len(found) >= last or len(told) < look_at:
            return found[:last]
        look_at *= 4


def tell_audit(site: Site, batch: Batch, report: ValidationReport, seconds: float) -> None:
    """Record a batch's audit: from the batch, and what was published before, to a snapshot."""
    earlier = (
        (ref("snapshot", batch.table, batch.base),)
        if batch.mode != "replace" and batch.base is not None
        else ()
    )
    happened(
        site,
        _AUDITED,
        batch.table,
        key=batch.ref,
        run=batch.run,
        inputs=(batch.ref, *earlier, *report.inputs),
        outputs=[r.ref for r in (report.published, report.quarantine, report) if r is not None],
        report=report,
        mode=batch.mode,
        seconds=seconds,
    )
