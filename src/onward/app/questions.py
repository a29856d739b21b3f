"""Questions about a project's past: one run in full, rows to try."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onward.core.errors import NotFoundError, unknown_name
from onward.core.ports import Ledger
from onward.core.records import Deployment, EvaluationReport, RunRef, ValidationReport
from onward.flow.happened import fact
from onward.flow.release.releases import champion
from onward.flow.run.runs import RunEntry, runs


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDetail:
    """One run with the reports that its stages left."""

    run: RunEntry
    audits: Sequence[ValidationReport]
    evaluation: EvaluationReport | None
    deployment: Deployment | None


def run_detail(ledger: Ledger, run_id: str) -> RunDetail:
    """Return one run with its reports.

    Raises
    ------
    NotFoundError
        No run has this id.
    """
    entries = {run.id: run for run in runs(ledger)}
    if run_id not in entries:
        what, expected = unknown_name("run", run_id, entries)
        raise NotFoundError(what, expected=expected, next_step="`onward runs` lists them")
    told = ledger.events(run=run_id)
    by_kind = {t.event.kind: t for t in told}
    evaluated = by_kind.get("model.evaluated")
    deployed = by_kind.get("image.accepted") or by_kind.get("image.refused")
    return RunDetail(
        run=entries[run_id],
        audits=[fact(t, "report", ValidationReport) for t in told if t.event.kind == _AUDITED],
        evaluation=fact(evaluated, "report", EvaluationReport) if evaluated else None,
        deployment=fact(deployed, "deployment", Deployment) if deployed else None,
    )


_AUDITED = "batch.audited"


def sample(ledger: Ledger, model: str, count: int) -> Sequence[Mapping[str, Any]]:
    """Return up to `count` held-out rows that the champion was evaluated on, evenly spaced in time.

    Raises
    ------
    NotFoundError
        Nothing has been released yet, or its training set is gone.
    """
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    from onward.stages.train.golden import requests

    serving = champion(ledger, model)
    if serving is None:
        raise NotFoundError(
            f"no version of {model!r} serves yet", next_step="`onward run` releases the first"
        )
    [told] = ledger.producing(serving.model.trained, last=1)
    trained = fact(told, "trained", RunRef)
    file = Path(trained.training.path)
    if not file.is_file():
        raise NotFoundError(
            f"{trained.training.ref}, on which {serving.model.ref} was trained, is not in {file}",
            next_step="`onward run --force` trains anew",
        )
    late = pc.field("event_time") >= trained.holdout_from
    columns = [column.name for column in trained.training.plan.request]
    rows = pq.read_table(file, filters=late, columns=columns)
    step = max(1, rows.num_rows // max(1, count))
    picked = rows.take(list(range(0, rows.num_rows, step))[: max(1, count)])
    return requests(picked, trained.training.plan)
