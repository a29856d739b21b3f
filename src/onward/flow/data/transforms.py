"""Derived tables, one after the other: built where something changed, audited, published."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from onward.core.errors import DataError
from onward.core.ports import Steps
from onward.core.records import Baseline, Batch, DatasetRef, ValidationReport
from onward.flow.data.audits import fix_baseline, tell_audit
from onward.flow.data.quarantine import settled
from onward.flow.happened import happened, timed
from onward.flow.pipeline.definition import Definition
from onward.flow.site import Site
from onward.stages.transform.config import Transform
from onward.stages.transform.dbt import DbtBuilt, build_dbt, verdicts
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
    audits: list[ValidationReport] = []
    for together in _units(definition.transforms):
        wanted = [t for t in together if only is None or t.name in only]
        _require_published(together if wanted else (), datasets)
        if wanted and wanted[0].dbt:
            audits += _derive_dbt(steps, site, definition, wanted, datasets, run, afresh)
        elif wanted:
            audits += _derive(steps, site, definition, wanted[0], datasets, run, afresh)
        for transform in together:
            if site.lake.head(transform.table) is not None:
                datasets[transform.name] = site.lake.dataset(transform.table)
            elif transform in wanted:
                raise _never_passed(transform, audits, run)
    return Derived(datasets=datasets, audits=tuple(audits))


def _units(transforms: Sequence[Transform]) -> Iterator[Sequence[Transform]]:
    """Yield what is built in one go: a transform, or a dbt project's models, which are adjacent."""
    for _, together in groupby(transforms, key=lambda t: t.dbt.name if t.dbt else t):
        yield list(together)


def _derive(
    steps: Steps,
    site: Site,
    definition: Definition,
    transform: Transform,
    datasets: Mapping[str, DatasetRef],
    run: str,
    afresh: bool,
) -> list[ValidationReport]:
    batch = steps(f"transform {transform.name}", _build, site, transform, datasets, run, afresh)
    if batch is None:
        return []
    return [_judged(steps, site, definition, transform, batch)]


def _judged(
    steps: Steps, site: Site, definition: Definition, transform: Transform, batch: Batch
) -> ValidationReport:
    baseline = fix_baseline(steps, site, definition, batch, transform.checks)
    return steps(
        f"validate {transform.name}", _audit, site, transform, definition.personal, batch, baseline
    )


def _derive_dbt(
    steps: Steps,
    site: Site,
    definition: Definition,
    wanted: Sequence[Transform],
    datasets: Mapping[str, DatasetRef],
    run: str,
    afresh: bool,
) -> list[ValidationReport]:
    assert wanted[0].dbt is not None
    name = f"transform {wanted[0].dbt.name}"
    built: DbtBuilt = steps(name, _build_dbt, site, wanted, datasets, run, afresh)
    batches = {batch.dataset: batch for batch in built.batches}
    reports = []
    for model in wanted:
        if model.name in batches:
            checks = (*model.checks, *verdicts(built.tests, model.name))
            tested = replace(model, checks=checks)
            reports.append(_judged(steps, site, definition, tested, batches[model.name]))
    return reports


def _build_dbt(
    site: Site,
    wanted: Sequence[Transform],
    datasets: Mapping[str, DatasetRef],
    run: str,
    afresh: bool,
) -> DbtBuilt:
    for model in wanted:
        settled(site, model.table)
    assert wanted[0].dbt is not None
    scratch = site.folders.dbt / wanted[0].dbt.name / "scratch"
    built, seconds = timed(
        build_dbt,
        wanted,
        dbt=site.dbt,
        lake=site.lake,
        inputs=datasets,
        scratch=scratch,
        run=run,
        afresh=afresh,
    )
    for batch in built.batches:
        _tell_built(site, batch, run, seconds / len(built.batches))  # dbt builds them in one go
    return built


def _build(
    site: Site, transform: Transform, datasets: Mapping[str, DatasetRef], run: str, afresh: bool
) -> Batch | None:
    settled(site, transform.table)
    read = {name: datasets[name] for name in transform.inputs}
    batch, seconds = timed(
        build,
        transform,
        lake=site.lake,
        inputs=read,
        folder=site.project,
        run=run,
        afresh=afresh,
        spark=site.spark,
    )
    if batch is not None:
        _tell_built(site, batch, run, seconds)
    return batch


def _tell_built(site: Site, batch: Batch, run: str, seconds: float) -> None:
    happened(
        site,
        "table.built",
        batch.table,
        key=batch.ref,
        run=run,
        inputs=batch.inputs,
        outputs=(batch.ref,),
        rows=batch.rows,
        seconds=seconds,
    )


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


def _require_published(together: Sequence[Transform], datasets: Mapping[str, DatasetRef]) -> None:
    made = {transform.name for transform in together}
    for transform in together:
        for name in transform.inputs:
            if name in datasets or name in made:
                continue
            raise DataError(
                f"transform {transform.name!r} reads {name!r}, which has never been published",
                expected="published rows in everything that it reads",
                next_step=f"`onward run` takes sources in; `onward transform --select "
                f"+{transform.name}` builds what it reads",
                location=transform.location,
            )


def _never_passed(transform: Transform, audits: Sequence[ValidationReport], run: str) -> DataError:
    report = next((r for r in audits if r.dataset == transform.name), None)
    held = [r.rule for a in audits for r in a.rules if a.held and not r.passed]
    return DataError(
        f"{transform.table} has never passed its batch checks"
        if report
        else f"{transform.table} was not built: dbt skipped it, because a test before it failed",
        expected=", ".join(r.rule for r in report.rules if not r.passed)
        if report
        else ", ".join(held) or "tests that pass",
        next_step=f"see `onward runs {run}`, mend the transform or the check",
        location=transform.location,
    )
