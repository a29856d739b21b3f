"""Derived tables, one after the other: built where something changed, audited, published."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from onward.core.errors import DataError
from onward.core.ports import Steps
from onward.core.records import Baseline, Batch, DatasetRef, ValidationReport
from onward.flow.audits import fix_baseline, tell_audit
from onward.flow.definition import Definition
from onward.flow.happened import happened, timed
from onward.flow.quarantine import settled
from onward.flow.site import Site
from onward.stages.transform.config import Transform
from onward.stages.transform.step import build
from onward.stages.validate.step import audit


@dataclass(frozen=True, slots=True, kw_only=True)
class Derived:
    """Published datasets by name, the derived among them, and the audits of what was built."""

    datasets: Mapping[str, DatasetRef]
    audits: tuple[ValidationReport, ...]


def derive_tables(
    steps: Steps,
    site: Site,
    definition: Definition,
    sources: Mapping[str, DatasetRef],
    run: str,
    *,
    only: Collection[str] | None = None,
    afresh: bool = False,
) -> Derived:
    """Bring derived tables up to date, in the order in which they read each other.

    A table whose batch is held keeps its last published snapshot, and what reads it is derived
    from that. With `only`, the others stay as they are published; with `afresh`, what is built is
    built whole, whether or not something changed.

    Raises
    ------
    DataError
        A table that is needed has never been published.
    """
    datasets = dict(sources)
    audits = []
    for transform in definition.transforms:
        if only is None or transform.name in only:
            report = _derive(steps, site, definition, transform, datasets, run, afresh)
            if report is not None:
                audits.append(report)
        if site.lake.head(transform.table) is not None:
            datasets[transform.name] = site.lake.dataset(transform.table)
        elif only is None or transform.name in only:
            raise _never_passed(transform, audits[-1], run)
    return Derived(datasets=datasets, audits=tuple(audits))


def _derive(
    steps: Steps,
    site: Site,
    definition: Definition,
    transform: Transform,
    datasets: Mapping[str, DatasetRef],
    run: str,
    afresh: bool,
) -> ValidationReport | None:
    _require_published(transform, datasets)
    batch = steps(f"transform {transform.name}", _build, site, transform, datasets, run, afresh)
    if batch is None:
        return None
    baseline = fix_baseline(steps, site, definition, batch, transform.checks)
    return steps(
        f"validate {transform.name}", _audit, site, transform, definition.personal, batch, baseline
    )


def _build(
    site: Site, transform: Transform, datasets: Mapping[str, DatasetRef], run: str, afresh: bool
) -> Batch | None:
    settled(site, transform.table)
    read = {name: datasets[name] for name in transform.inputs}
    batch, seconds = timed(
        build, transform, lake=site.lake, inputs=read, folder=site.project, run=run, afresh=afresh
    )
    if batch is not None:
        happened(
            site,
            "table.built",
            batch.table,
            key=batch.ref,
            run=run,
            inputs=[d.ref for d in read.values()],
            outputs=(batch.ref,),
            rows=batch.rows,
            seconds=seconds,
        )
    return batch


def _audit(
    site: Site,
    transform: Transform,
    personal: tuple[str, ...],
    batch: Batch,
    baseline: Baseline | None,
) -> ValidationReport:
    report, seconds = timed(
        audit,
        batch,
        transform.checks,
        lake=site.lake,
        clock=site.clock,
        baseline=baseline,
        personal=personal,
    )
    tell_audit(site, batch, report, seconds)
    return report


def _require_published(transform: Transform, datasets: Mapping[str, DatasetRef]) -> None:
    for name in transform.inputs:
        if name not in datasets:
            raise DataError(
                f"transform {transform.name!r} reads {name!r}, which has never been published",
                expected="published rows in everything that it reads",
                next_step=f"`onward run` takes sources in; `onward transform --select "
                f"+{transform.name}` builds what it reads",
                location=transform.location,
            )


def _never_passed(transform: Transform, report: ValidationReport, run: str) -> DataError:
    return DataError(
        f"{transform.table} has never passed its batch checks",
        expected=", ".join(r.rule for r in report.rules if not r.passed),
        next_step=f"see `onward runs {run}`, mend the transform or the check",
        location=transform.location,
    )
