"""The watch loop: a window of production becomes a report, and a report a verdict on retraining."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from onward.core.events import Recorded
from onward.core.records import (
    DatasetRef,
    EvaluationReport,
    Metric,
    ModelRef,
    MonitorReport,
    RunRef,
    RunRequest,
    SkewReport,
    Suppressed,
)
from onward.flow.happened import fact, happened
from onward.flow.pipeline.definition import Definition
from onward.flow.plans import classes_of
from onward.flow.release import releases
from onward.flow.release.observe import (
    bring_in,
    newest_features,
    newest_rows,
    predictions,
)
from onward.flow.run.reference import held_out_scores
from onward.flow.run.skew import audit
from onward.flow.site import Site
from onward.stages.evaluate.metrics import metrics_of
from onward.stages.monitor.config import Skew
from onward.stages.monitor.port import Observed
from onward.stages.monitor.step import report as measure
from onward.stages.retrain.step import consider


def due(site: Site, definition: Definition) -> bool:
    """Whether a window has passed since the last report, or since the first champion took over."""
    since = _last_look(site, definition.model)
    return since is not None and site.clock.now() - since >= definition.pipeline.every


def watch(
    site: Site, definition: Definition
) -> tuple[MonitorReport, RunRequest | Suppressed | None]:
    """Measure the window up to now, tell who listens, and say whether to retrain, or why not."""
    found = measured(site, definition)
    earlier = _earlier(site, definition.model)
    happened(
        site,
        "monitor.reported",
        definition.model,
        key=found.ref,
        inputs=(_serving(site, definition.model).ref,),
        outputs=(found.ref,),
        report=found,
    )
    if found.breaches:
        for alert in site.alerts:
            failure = alert.send(found)
            if failure is not None:
                happened(
                    site, "alert.failed", definition.model, key=f"{found.ref}/{failure}",
                    reason=failure,
                )  # fmt: skip
    return found, _verdict(site, definition, found, earlier)


def measured(site: Site, definition: Definition) -> MonitorReport:
    """Measure the window up to now, and tell nobody."""
    now = site.clock.now()
    return measure(
        definition.pipeline.monitors,
        model=definition.model,
        run_id=f"watch-{now:%Y%m%d-%H%M%S}",
        window=(now - definition.pipeline.every, now),
        observed=observe(site, definition),
        clock=site.clock,
    )


def observe(site: Site, definition: Definition) -> Observed:
    """Gather the window up to now, and what the champion is held against."""
    now = site.clock.now()
    start = now - definition.pipeline.every
    serving = _serving(site, definition.model)
    trained = _trained(site, serving)
    table = bring_in(site)
    return Observed(
        predictions=predictions(site, definition, table, (start, now)),
        version=serving.version,
        training=trained.training,
        classes=classes_of(serving) if trained.training.task == "multiclass" else (),
        reference_scores=held_out_scores(site, serving, trained),
        evaluated=_evaluated(site, serving),
        scores=metrics_of(definition.pipeline.model.task),
        newest=newest_rows(site, definition),
        newest_views=newest_features(site, trained.training.plan),
        skew=_skew(site, definition, serving, table, (start, now)),
    )


def _skew(
    site: Site,
    definition: Definition,
    serving: ModelRef,
    table: DatasetRef | None,
    window: tuple[datetime, datetime],
) -> SkewReport | None:
    """Audit the champion's vectors if a monitor asks for it, by the largest sample of any."""
    samples = [m.sample for m in definition.pipeline.monitors if isinstance(m, Skew)]
    return audit(site, serving, table, window, sample=max(samples)) if samples else None


def _verdict(
    site: Site, definition: Definition, found: MonitorReport, earlier: Sequence[MonitorReport]
) -> RunRequest | Suppressed | None:
    policy = definition.pipeline.on_breach
    if policy is None:
        return None
    verdict = consider(
        found,
        earlier,
        policy=policy,
        last_request=_last(site, "retrain.requested", definition.model),
        busy=_busy(site, definition.model),
        now=site.clock.now(),
    )
    if isinstance(verdict, RunRequest):
        happened(
            site,
            "retrain.requested",
            definition.model,
            key=found.ref,
            run=verdict.id,
            inputs=(found.ref,),
            request=verdict,
        )
    elif isinstance(verdict, Suppressed):
        happened(
            site,
            "retrain.suppressed",
            definition.model,
            key=found.ref,
            inputs=(found.ref,),
            reason=verdict.reason,
        )
    return verdict


def _busy(site: Site, model: str) -> str | None:
    active = releases.current(site.ledger, model)
    if active is None or active.ended is not None:
        return None
    return f"the release of version {active.version} is at {active.percent:g} %"


def _serving(site: Site, model: str) -> ModelRef:
    image = releases.champion(site.ledger, model)
    if image is None:  # `due` asks first
        raise LookupError(f"no version of {model} serves")
    return image.model


def _trained(site: Site, model: ModelRef) -> RunRef:
    return fact(site.ledger.producing(model.trained)[-1], "trained", RunRef)


def _evaluated(site: Site, model: ModelRef) -> tuple[Metric, ...]:
    registered = site.ledger.producing(model.ref)[-1].event
    report = next(ref for ref in registered.inputs if ref.startswith("report:"))
    return fact(site.ledger.producing(report)[-1], "report", EvaluationReport).metrics


def _earlier(site: Site, model: str) -> Sequence[MonitorReport]:
    """Return the reports on the version that serves now, oldest first."""
    ended = site.ledger.events(kind="release.ended", subject=model)
    promoted = [told.seq for told in ended if told.event.facts["how"] == "promoted"]
    told = site.ledger.events(kind="monitor.reported", subject=model, after=promoted[-1])
    return [fact(one, "report", MonitorReport) for one in told]


def _last_look(site: Site, model: str) -> datetime | None:
    looked = _last(site, "monitor.reported", model)
    if looked is not None:
        return looked
    ended: Sequence[Recorded] = site.ledger.events(kind="release.ended", subject=model)
    return next((t.event.at for t in ended if t.event.facts["how"] == "promoted"), None)


def _last(site: Site, kind: str, model: str) -> datetime | None:
    found = site.ledger.events(kind=kind, subject=model, newest_first=True, limit=1)
    return found[0].event.at if found else None
