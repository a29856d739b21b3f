"""One prediction's lineage: from the answer back to code, data, and whoever let it through."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from onward.core.errors import NotFoundError
from onward.core.events import Event
from onward.core.ports import Ledger
from onward.core.records import GateResult, Metric, Prediction
from onward.core.refs import ref
from onward.watch.lineage.data import made_from
from onward.watch.lineage.graph import Graph
from onward.watch.lineage.trace import known


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionLineage:
    """What stands behind one prediction.

    `snapshots` are all tables that the training set was made from, directly or through features
    and derived tables, each as of the snapshot that was read; `sources` are those among them
    that were ingested. `step` is the event that put the version where it served, `percent` the
    share of traffic it had. `approver` is None when nobody had to approve.
    """

    prediction: str
    at: datetime
    model: str
    arm: str
    registered_at: datetime
    metrics: tuple[Metric, ...]
    gates: tuple[GateResult, ...]
    trained: str
    parameters: Mapping[str, Any]
    commit: str | None
    training: str
    features: tuple[str, ...]
    snapshots: tuple[str, ...]
    sources: tuple[str, ...]
    image: str
    release: str
    step: str | None
    percent: float | None
    released_at: datetime | None
    approver: str | None
    run: str | None


def describe(prediction: Prediction, *, ledger: Ledger) -> PredictionLineage:
    """Answer for one prediction in a handful of indexed look-ups.

    Raises
    ------
    NotFoundError
        The ledger knows nothing of the model version that answered.
    """
    model = known(ref("model", prediction.model, prediction.version), ledger)
    registered = _made(ledger, model)
    trained = _of_kind(registered.inputs, "trained")
    fitted = _made(ledger, trained)
    training = _of_kind(fitted.inputs, "training")
    verdict = _verdict(ledger, registered)
    data = made_from(training, ledger=ledger)
    step = _newest(ledger, prediction.release)
    commit = fitted.facts.get("commit")
    return PredictionLineage(
        prediction=prediction.ref,
        at=prediction.at,
        model=model,
        arm=prediction.arm,
        registered_at=registered.at,
        metrics=tuple(Metric(**metric) for metric in verdict.get("metrics", ())),
        gates=tuple(GateResult(**gate) for gate in verdict.get("gates", ())),
        trained=trained,
        parameters=fitted.facts.get("parameters", {}),
        commit=commit,
        training=training,
        features=tuple(node.ref for node in data.of_kind("features")),
        snapshots=tuple(node.ref for node in data.of_kind("snapshot")),
        sources=_ingested(data),
        image=prediction.image,
        release=prediction.release,
        step=step.kind if step else None,
        percent=_percent(step),
        released_at=step.at if step else None,
        approver=_approver(registered, step),
        run=registered.run,
    )


def _newest(ledger: Ledger, name: str) -> Event | None:
    made = ledger.producing(name, last=1)
    return made[-1].event if made else None


def _made(ledger: Ledger, name: str) -> Event:
    event = _newest(ledger, name)
    if event is None:
        raise NotFoundError(
            f"the ledger does not know how {name} was made",
            expected="the event that made it",
            next_step="see whether the ledger is whole: `onward audit verify`",
        )
    return event


def _of_kind(refs: Sequence[str], kind: str) -> str:
    return next((name for name in refs if name.startswith(f"{kind}:")), f"{kind}:unknown")


def _verdict(ledger: Ledger, registered: Event) -> Mapping[str, Any]:
    """Return the evaluation report that registration relied on, as plain values."""
    report = _newest(ledger, _of_kind(registered.inputs, "report"))
    found: Mapping[str, Any] = report.facts.get("report", {}) if report else {}
    return found


def _ingested(data: Graph) -> tuple[str, ...]:
    arrived = {node.ref for node in data.of_kind("batch") if node.made_by == "batch.ingested"}
    return tuple(
        edge.target
        for edge in data.edges
        if edge.source in arrived and edge.target.startswith("snapshot:")
    )


def _percent(step: Event | None) -> float | None:
    if step is None:
        return None
    if step.kind == "release.started" or step.kind == "release.stepped":
        return float(step.facts["percent"])
    return 100.0  # promoted, or returned to


def _approver(*events: Event | None) -> str | None:
    told = (event.facts.get("approved_by") for event in events if event is not None)
    return next((str(name) for name in told if name), None)
