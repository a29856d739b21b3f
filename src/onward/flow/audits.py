"""Telling the ledger what an audit decided."""

from __future__ import annotations

from onward.core.records import Batch, ValidationReport
from onward.core.refs import ref
from onward.flow.happened import happened
from onward.flow.site import Site


def tell_audit(site: Site, batch: Batch, report: ValidationReport) -> None:
    """Record a batch's audit: from the batch, and what was published before, to a snapshot."""
    earlier = (
        (ref("snapshot", batch.table, batch.base),)
        if batch.mode != "replace" and batch.base is not None
        else ()
    )
    happened(
        site,
        "batch.audited",
        batch.table,
        key=batch.ref,
        run=batch.run,
        inputs=(batch.ref, *earlier),
        outputs=[r.ref for r in (report.published, report.quarantine, report) if r is not None],
        report=report,
    )
