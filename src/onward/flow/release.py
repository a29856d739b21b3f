"""The release loop: package, stage, canary step by step, promote or roll back.

The ledger holds a release's state and nothing else does; routes and the registry's aliases
follow from it (`enact`), so a crash between deciding and doing is mended by doing it again.
"""

from __future__ import annotations

from typing import Literal

from onward.core.errors import NotFoundError
from onward.core.records import Deployment, ImageRef, ModelRef, ReleaseDecision, Route, Routes
from onward.core.refs import ref
from onward.flow.definition import Definition
from onward.flow.happened import happened
from onward.flow.image import packaged
from onward.flow.observe import observations
from onward.flow.releases import Release, champion, current, promotions, reversions, serving_ref
from onward.flow.serving import written
from onward.flow.site import Site
from onward.stages.deploy.step import accept
from onward.stages.serve.config import Canary
from onward.stages.serve.release.decision import Progress, decide
from onward.stages.serve.routes import write_routes


def deploy(site: Site, definition: Definition, model: ModelRef, run: str) -> Deployment:
    """Package a registered model and let it pass acceptance on staging."""
    image = packaged(site, model, run)
    deployment = accept(
        image,
        servers=site.servers,
        acceptance=definition.pipeline.acceptance,
        folder=site.folders.staging / run,
    )
    happened(
        site,
        "image.accepted" if deployment.passed else "image.refused",
        image.name,
        key=f"{run}/{image.ref}",
        run=run,
        inputs=(image.ref,),
        deployment=deployment,
    )
    return deployment


def begin(site: Site, definition: Definition, image: ImageRef, run: str) -> Release:
    """Start a release: the first version takes everything, a later one the canary's first share.

    A release of the same model that is still under way ends first: it is superseded.
    """
    model = image.model.name
    active = current(site.ledger, model)
    if active is not None and active.ended is None and active.version != image.model.version:
        end(site, active, "rolledback", f"superseded by version {image.model.version}")
    serving = champion(site.ledger, model)
    steps = definition.pipeline.release.steps
    percent = 100.0 if serving is None or not steps else steps[0]
    release = ref("release", model, f"{image.model.version}.1")
    happened(
        site,
        "release.started",
        model,
        key=ref("release", model, image.model.version),
        run=run,
        inputs=(image.ref, image.model.ref),
        outputs=(release,),
        candidate=image,
        champion=serving,
        percent=percent,
    )
    started = current(site.ledger, model)
    if started is None:  # pragma: no cover - the event was recorded just above
        raise NotFoundError(f"no release of {model} is in the ledger")
    if percent == 100.0 and started.ended is None:
        first = "there was no champion to compare with"
        return end(
            site, started, "promoted", "the canary has no step below 100 %" if serving else first
        )
    enact(site, model)
    return started


def advance(site: Site, definition: Definition) -> ReleaseDecision | None:
    """Judge the release that is under way and do what the statistics allow; None if none is."""
    active = current(site.ledger, definition.model)
    if active is None or active.ended is not None:
        return None
    enact(site, definition.model)
    canary = definition.pipeline.release
    decision = decide(
        canary,
        Progress(
            release=ref("release", active.model, active.version),
            model=active.model,
            version=active.version,
            step=active.step,
            percent=active.percent,
            started_at=active.started_at,
            step_started_at=active.step_started_at,
        ),
        observations(site, definition, active.version, active.started_at),
        site.clock.now(),
    )
    _act(site, canary, active, decision)
    return decision


def _act(site: Site, canary: Canary, active: Release, decision: ReleaseDecision) -> None:
    match decision.action:
        case "promote":
            end(site, active, "promoted", decision.reason, decision)
        case "rollback":
            end(site, active, "rolledback", decision.reason, decision)
        case "advance":
            step = active.step + 1
            happened(
                site,
                "release.stepped",
                active.model,
                key=ref("release", active.model, f"{active.version}.{step}"),
                inputs=(active.ref,),
                outputs=(ref("release", active.model, f"{active.version}.{step}"),),
                step=step,
                percent=canary.steps[step - 1],
                decision=decision,
            )
            enact(site, active.model)
        case "hold":
            pass


def end(
    site: Site,
    release: Release,
    how: Literal["promoted", "rolledback"],
    reason: str,
    decision: ReleaseDecision | None = None,
) -> Release:
    """End a release, once: whoever tells it first decides."""
    final = ref("release", release.model, f"{release.version}.{release.step + 1}")
    happened(
        site,
        "release.ended",
        release.model,
        key=ref("release", release.model, release.version),
        inputs=(release.ref, release.candidate.ref, release.candidate.model.ref),
        outputs=(final,) if how == "promoted" else (),
        how=how,
        reason=reason,
        step=release.step + 1,
        decision=decision,
    )
    enact(site, release.model)
    ended = current(site.ledger, release.model)
    return ended if ended is not None else release


def rollback(site: Site, model: str, reason: str) -> Release:
    """Take the candidate out of traffic; with none under way, return to the champion before.

    Raises
    ------
    NotFoundError
        Nothing was released, or there is no earlier champion.
    """
    active = current(site.ledger, model)
    if active is None:
        raise NotFoundError(
            f"nothing of {model!r} was released yet", next_step="start with `onward run`"
        )
    if active.ended is None:
        return end(site, active, "rolledback", reason)
    line = promotions(site.ledger, model)
    if len(line) < 2:
        raise NotFoundError(
            f"version {line[-1].model.version if line else '?'} of {model!r} has no predecessor",
            expected="an earlier version that was champion once",
        )
    leaving, returning = line[-1], line[-2]
    at, number = site.clock.now(), reversions(site.ledger, model) + 1
    happened(
        site,
        "release.reverted",
        model,
        key=f"{leaving.model.ref}/{at.isoformat()}",
        inputs=(returning.ref,),
        outputs=(ref("release", model, f"{returning.model.version}.r{number}"),),
        leaving=leaving,
        returning=returning,
        reason=reason,
    )
    enact(site, model)
    return active


def enact(site: Site, model: str) -> Routes | None:
    """Make routes and the champion's alias what the ledger says; safe to repeat."""
    serving = champion(site.ledger, model)
    active = current(site.ledger, model)
    if serving is None:
        return None
    running = active is not None and active.ended is None
    share = active.percent if active is not None and running else 0.0
    routes = [
        Route(
            arm="champion",
            image=serving,
            percent=100.0 - share,
            release=active.ref
            if active is not None and running
            else serving_ref(site.ledger, model),
        )
    ]
    if active is not None and running:
        routes.append(
            Route(arm="candidate", image=active.candidate, percent=share, release=active.ref)
        )
    salt = ref("release", model, active.version if active else 0)
    before = written(site, model)
    made = Routes(
        model=model,
        salt=salt,
        routes=tuple(routes),
        log=before.log if before else None,
        on_log_failure=before.on_log_failure if before else None,
    )
    write_routes(site.folders.routes, made)
    known = site.registry.champion(model)
    if known is None or known.version != serving.model.version:
        site.registry.promote(serving.model)
    return made
