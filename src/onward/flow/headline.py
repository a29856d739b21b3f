"""What a stage's record says of itself in a few words, for whoever watches a run."""

from __future__ import annotations

from collections.abc import Sized
from functools import singledispatch

from onward.core.records import (
    Baseline,
    Batch,
    Deployment,
    EvaluationReport,
    FeatureSetRef,
    ModelRef,
    RunRef,
    TrainingSetRef,
    ValidationReport,
)
from onward.stages.transform.dbt import DbtBuilt


@singledispatch
def headline(record: object) -> str:
    """Return a record's essence in one short line; empty for what has none."""
    return "nothing new" if record is None else ""


@headline.register
def _(batch: Batch) -> str:
    if batch.partitions is not None:
        count = len(batch.partitions.values)
        return f"{batch.rows:,} rows in {count:,} partition{'s' if count != 1 else ''}"
    return f"{batch.rows:,} rows"


@headline.register
def _(built: DbtBuilt) -> str:
    failed = sum(test.status == "fail" for test in built.tests)
    if not built.batches and not built.tests:
        return headline(None)
    return f"{len(built.batches)} tables, {failed} of {len(built.tests)} tests failed"


@headline.register
def _(report: ValidationReport) -> str:
    if report.held:
        return f"held: {', '.join(rule.rule for rule in report.broken)}"
    said = f"{report.rows_published:,} published, {report.rows_quarantined:,} quarantined"
    return f"{said}, {_some(report.warnings, 'warning')}" if report.warnings else said


@headline.register
def _(baseline: Baseline) -> str:
    parts = [
        _some(found, what)
        for found, what in ((baseline.datasets, "dataset"), (baseline.profiles, "earlier batch"))
        if found
    ]
    return ", ".join(parts)


@headline.register
def _(published: FeatureSetRef) -> str:
    return f"version {published.view.version}, {published.rows_added:,} rows"


@headline.register
def _(training: TrainingSetRef) -> str:
    return f"{training.rows:,} rows of {len(training.plan.columns)} features"


@headline.register
def _(trained: RunRef) -> str:
    return f"fitted in {trained.seconds:.1f} s"


@headline.register
def _(report: EvaluationReport) -> str:
    verdict = "passed" if report.passed else "rejected"
    first = report.metrics[0]
    return f"{first.name} {first.value:.4f} [{first.low:.4f}, {first.high:.4f}], {verdict}"


@headline.register
def _(model: ModelRef) -> str:
    return f"version {model.version}"


@headline.register
def _(deployment: Deployment) -> str:
    failed = [check.gate for check in deployment.checks if not check.passed]
    return "accepted" if deployment.passed else f"refused: {', '.join(failed)}"


def _some(found: Sized, what: str) -> str:
    plural = what if len(found) == 1 else f"{what}es" if what.endswith("ch") else f"{what}s"
    return f"{len(found)} {plural}"
