"""What a stage's record says of itself in a few words, for whoever watches a run."""

from __future__ import annotations

from functools import singledispatch
from typing import Final

from onward.core.records import (
    Baseline,
    Batch,
    Candidate,
    Deployment,
    EvaluationReport,
    FeatureSetRef,
    ModelRef,
    RunRef,
    TrainingSetRef,
    ValidationReport,
)
from onward.core.wording import counted
from onward.stages.transform.dbt import DbtBuilt

NOTHING: Final = {"evaluate": "none yet"}
"""What it means, stage by stage, that a step gave nothing; elsewhere that nothing is new."""


@singledispatch
def headline(record: object) -> str:
    """Return a record's essence in one short line; empty for what has none."""
    return "nothing new" if record is None else ""


@headline.register
def _(batch: Batch) -> str:
    if batch.partitions is not None:
        partitions = counted(len(batch.partitions.values), "partition")
        return f"{counted(batch.rows, 'row')} in {partitions}"
    said = counted(batch.rows, "row")
    return f"{said}, {batch.left_out:,} of erased subjects left out" if batch.left_out else said


@headline.register
def _(built: DbtBuilt) -> str:
    failed = sum(test.status == "fail" for test in built.tests)
    if not built.batches and not built.tests:
        return headline(None)
    tables, tests = counted(len(built.batches), "table"), counted(len(built.tests), "test")
    return f"{tables}, {failed} of {tests} failed"


@headline.register
def _(report: ValidationReport) -> str:
    if report.held:
        return f"held: {', '.join(rule.rule for rule in report.broken)}"
    said = f"{report.rows_published:,} published, {report.rows_quarantined:,} quarantined"
    warnings = len(report.warnings)
    return f"{said}, {counted(warnings, 'warning')}" if warnings else said


@headline.register
def _(baseline: Baseline) -> str:
    parts = [
        counted(len(found), what)
        for found, what in ((baseline.datasets, "dataset"), (baseline.profiles, "earlier batch"))
        if found
    ]
    return ", ".join(parts)


@headline.register
def _(published: FeatureSetRef) -> str:
    came = counted(published.rows_added, "row") if published.rows_added else headline(None)
    return f"version {published.view.version}, {came}"


@headline.register
def _(training: TrainingSetRef) -> str:
    return f"{counted(training.rows, 'row')} of {counted(len(training.plan.columns), 'feature')}"


@headline.register
def _(trained: RunRef) -> str:
    return "as fitted before" if trained.kept else f"fitted in {trained.seconds:.1f} s"


@headline.register
def _(candidate: Candidate) -> str:
    score = "" if candidate.score is None else f", score {candidate.score:.4f}"
    return f"best of {counted(candidate.trials, 'trial')}{score}"


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
