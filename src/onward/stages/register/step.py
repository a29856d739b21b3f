"""Registration: records in, a model version out."""

from __future__ import annotations

from pathlib import Path

from onward.core import digest
from onward.core.clock import Clock
from onward.core.errors import GateError
from onward.core.files import write_whole
from onward.core.records import EvaluationReport, ModelRef, RunRef
from onward.stages.register.card import card
from onward.stages.register.port import ModelRegistry


def register(
    trained: RunRef,
    report: EvaluationReport,
    *,
    registry: ModelRegistry,
    folder: Path,
    run: str,
    clock: Clock,
) -> ModelRef:
    """Register a fitted model that passed, once per run, and write its card under `folder`.

    Raises
    ------
    GateError
        The report did not pass, or is about another model.
    CorruptError
        The artifacts are not those that were recorded.
    """
    _require_passed(trained, report)
    digest.require(Path(trained.path), trained.digest, trained.ref)
    model = registry.add(trained, report, cards=folder.resolve(), run=run, at=clock.now())
    _write(Path(model.card), card(model, trained, report))
    return model


def _require_passed(trained: RunRef, report: EvaluationReport) -> None:
    if report.trained != trained.ref:
        raise GateError(
            f"the evaluation is of {report.trained}, not of {trained.ref}",
            expected="a report about what is to be registered",
        )
    if not report.passed:
        failed = [f"{gate.gate}: {gate.reason}" for gate in report.gates if not gate.passed]
        raise GateError(
            f"{trained.ref} did not pass its gates and is not registered",
            expected="; ".join(failed) or "a report that passed",
        )


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    write_whole(file, text.encode())
