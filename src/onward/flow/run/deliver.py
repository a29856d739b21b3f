"""Once round: the durable body of a run, from new data to a released model."""

from __future__ import annotations

import time

from onward.core.errors import OnwardError
from onward.core.ports import Steps
from onward.core.records import Deployment, ModelRef, RunRequest
from onward.core.wording import counted
from onward.flow.data.stages import Refreshed, published, refresh
from onward.flow.data.transforms import derive_tables
from onward.flow.happened import happened
from onward.flow.model.experiment import experiment
from onward.flow.model.stages import Trained, make_model
from onward.flow.outcome import RunOutcome, State
from onward.flow.pipeline.definition import Definition
from onward.flow.progress import told
from onward.flow.release.loop import begin, deploy
from onward.flow.release.serving import declare
from onward.flow.run.cancel import CancelledError, unless_cancelled
from onward.flow.site import Site
from onward.stages.evaluate.gates import check_gates


def deliver(durable: Steps, site: Site, definition: Definition, request: RunRequest) -> RunOutcome:
    """Take the pipeline once round for `request`; every stage is a durable step.

    After ``kill -9`` at any line the same request resumes: steps with a recorded result are not
    run again, and the effects of the one that was cut short are keyed by the run's id.
    """
    steps = told(unless_cancelled(durable, site.ledger, request.id), site.tell)
    began = time.perf_counter()
    happened(
        site,
        "run.started",
        definition.model,
        key=request.id,
        run=request.id,
        request=request,
        digest=definition.digest,
        commit=definition.commit,
    )
    try:
        outcome = _round(steps, site, definition, request)
    except CancelledError as error:
        nothing = Refreshed(datasets={}, views={}, audits=())
        outcome = _outcome(request, "cancelled", error.what, nothing)
    except OnwardError as error:
        _finish(site, definition, request, "failed", error.what, None, began)
        raise
    _finish(site, definition, request, outcome.state, outcome.reason, outcome.model, began)
    return outcome


def give_up(site: Site, definition: Definition, request: RunRequest, by: str) -> None:
    """End a run that was cut short and that nobody wants any more."""
    _finish(site, definition, request, "cancelled", f"cancelled by {by}", None, time.perf_counter())


def _finish(
    site: Site,
    definition: Definition,
    request: RunRequest,
    state: str,
    reason: str,
    model: ModelRef | None,
    began: float,
) -> None:
    happened(
        site,
        "run.finished",
        definition.model,
        key=request.id,
        run=request.id,
        state=state,
        reason=reason,
        model=model.ref if model else None,
        trains=request.train,
        digest=definition.digest,
        seconds=time.perf_counter() - began,
    )


def _round(steps: Steps, site: Site, definition: Definition, request: RunRequest) -> RunOutcome:
    if request.transforms is not None:
        return _derived(steps, site, definition, request)
    if request.trials is not None:
        return _searched(steps, site, definition, request, request.trials)
    refreshed = refresh(steps, site, definition, request.id)
    if refreshed.held:
        return _outcome(request, "held", _why_held(refreshed), refreshed)
    if not request.train:
        return _outcome(request, "refreshed", "the data is up to date", refreshed)
    made = make_model(steps, site, definition, refreshed, request.id)
    if made.evaluation is None:
        reason = "the same data and code gave the champion again"
        return _outcome(request, "unchanged", reason, refreshed, made)
    if made.model is None:
        failed = [g.reason for g in made.evaluation.gates if not g.passed]
        return _outcome(request, "rejected", "; ".join(failed), refreshed, made)
    return _release(steps, site, definition, request, refreshed, made)


def _searched(
    steps: Steps, site: Site, definition: Definition, request: RunRequest, trials: int
) -> RunOutcome:
    chosen = experiment(steps, site, definition, run=request.id, trials=trials)
    words = ", ".join(f"{name}={value}" for name, value in chosen.parameters.items())
    nothing = Refreshed(datasets={}, views={}, audits=())
    reason = f"{words} after {counted(chosen.trials, 'trial')}"
    return _outcome(request, "searched", reason, nothing)


def _derived(steps: Steps, site: Site, definition: Definition, request: RunRequest) -> RunOutcome:
    assert request.transforms is not None
    derived = derive_tables(
        steps,
        site,
        definition,
        published(site, definition),
        request.id,
        only=request.transforms,
        afresh=request.afresh,
    )
    refreshed = Refreshed(datasets=derived.datasets, views={}, audits=derived.audits)
    if refreshed.held:
        return _outcome(request, "held", _why_held(refreshed), refreshed)
    built = ", ".join(report.dataset for report in derived.audits)
    reason = f"built {built}" if built else "every table is up to date"
    return _outcome(request, "refreshed", reason, refreshed)


def _release(
    steps: Steps,
    site: Site,
    definition: Definition,
    request: RunRequest,
    refreshed: Refreshed,
    made: Trained,
) -> RunOutcome:
    deployment = steps("deploy staging", deploy, site, definition, made.model, request.id)
    if not deployment.passed:
        failed = "; ".join(c.reason for c in deployment.checks if not c.passed)
        return _outcome(request, "refused", failed, refreshed, made, deployment)
    release = steps("serve release", begin, site, definition, deployment.image, request.id)
    declare(site.folders, definition)
    if release.ended == "promoted":
        return _outcome(request, "promoted", release.reason, refreshed, made, deployment)
    return _outcome(request, "released", release.standing, refreshed, made, deployment)


def _outcome(
    request: RunRequest,
    state: State,
    reason: str,
    refreshed: Refreshed,
    made: Trained | None = None,
    deployment: Deployment | None = None,
) -> RunOutcome:
    return RunOutcome(
        id=request.id,
        request=request,
        state=state,
        reason=reason,
        audits=refreshed.audits,
        views=tuple(refreshed.views.values()),
        training=made.training if made else None,
        trained=made.trained if made else None,
        evaluation=made.evaluation if made else None,
        model=made.model if made else None,
        deployment=deployment,
    )


def _why_held(refreshed: Refreshed) -> str:
    return "; ".join(
        f"{report.dataset}: {rule.rule} ({rule.detail})"
        if rule.detail
        else f"{report.dataset}: {rule.rule}"
        for report in refreshed.held
        for rule in report.broken
    )


def check(definition: Definition) -> None:
    """Refuse gates that could never be judged, before any work.

    Raises
    ------
    DeclarationError
        A gate names an unknown metric, or a column that no request carries.
    """
    model = definition.pipeline.model
    check_gates(definition.pipeline.gates, model.task, request_columns=None)
