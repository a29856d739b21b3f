"""Evaluation: records in, report out; the models are asked in a process of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from onward.core.ports import Compute, Tracker
from onward.core.records import (
    EvaluationReport,
    GateResult,
    Metric,
    ModelRef,
    RunRef,
    TrainingSetRef,
)
from onward.stages.evaluate.config import Gate
from onward.stages.evaluate.gates import check_gates

__all__ = ["Assessment", "assess", "check_gates", "evaluate"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """What comes back from the process that asked the models."""

    metrics: tuple[Metric, ...]
    champion_metrics: tuple[Metric, ...]
    slices: Mapping[str, Mapping[str, Metric]]
    gates: tuple[GateResult, ...]
    rows: int


def evaluate(
    trained: RunRef,
    *,
    gates: tuple[Gate, ...],
    slices: tuple[str, ...],
    champion: ModelRef | None,
    champion_rows: TrainingSetRef | None,
    compute: Compute,
    tracker: Tracker,
    run: str,
) -> EvaluationReport:
    """Judge a fitted model on its held-out rows, beside the champion on the same ones.

    `champion_rows` are the same rows with the champion's features, where its plan is another.
    The metrics are added to the tracker's run; doing so again changes nothing.

    Raises
    ------
    DeclarationError
        A gate names a metric or a column that is not there.
    CorruptError
        A model's artifacts are not those that were recorded.
    DataError
        The held-out rows cannot tell models apart.
    """
    training = trained.training
    columns = (*(column.name for column in training.plan.request), *slices)
    check_gates(gates, training.task, columns)
    found = compute.run(
        assess, trained, gates, slices, champion, champion_rows, name=f"evaluate {trained.model}"
    )
    report = EvaluationReport(
        run=run,
        model=trained.model,
        trained=trained.ref,
        champion=champion.ref if champion else None,
        metrics=found.metrics,
        champion_metrics=found.champion_metrics,
        slices=found.slices,
        gates=found.gates,
        passed=all(gate.passed for gate in found.gates),
        rows=found.rows,
    )
    tracker.log_metrics(trained.tracker_run, _logged(report))
    return report


def assess(
    trained: RunRef,
    gates: tuple[Gate, ...],
    slices: tuple[str, ...],
    champion: ModelRef | None,
    champion_rows: TrainingSetRef | None,
) -> Assessment:
    """Ask the models and judge the answers; this is what runs in the other process."""
    from onward.stages.evaluate.evidence import gather
    from onward.stages.evaluate.judge import judge
    from onward.stages.evaluate.slices import slice_metrics

    evidence = gather(trained, champion, champion_rows)
    return Assessment(
        metrics=evidence.challenger.metrics,
        champion_metrics=evidence.champion.metrics if evidence.champion else (),
        slices={column: slice_metrics(evidence, column) for column in slices},
        gates=tuple(judge(gate, evidence) for gate in gates),
        rows=evidence.rows.num_rows,
    )


def _logged(report: EvaluationReport) -> dict[str, float]:
    figures = {"evaluation_passed": float(report.passed)}
    for metric in report.metrics:
        bounds = {f"{metric.name}.low": metric.low, f"{metric.name}.high": metric.high}
        figures |= {metric.name: metric.value, **bounds}
    return figures
