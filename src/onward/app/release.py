"""Questions asked of a release, and a person's hand on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from onward.app.access import approved_by, require
from onward.app.gateway.callers import shown, verified
from onward.core.errors import NotFoundError
from onward.core.records import DatasetRef, ReleaseDecision
from onward.flow.release.releases import Release, current, decisions

if TYPE_CHECKING:
    from onward.app.project import Project


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseStatus:
    """How a release stands.

    Parameters
    ----------
    strategies
        What the pipeline declares, in order; `release.strategy` says which is under way.
    decision
        What the statistics allow now, and what is missing; None once it has ended.
    decided
        The decisions that moved it, or ended it, oldest first, each with all that it follows from.
    served
        Percent by arm as the gateway serves them; None where no gateway runs.
    """

    release: Release
    strategies: Sequence[str]
    decision: ReleaseDecision | None
    decided: Sequence[ReleaseDecision]
    served: Mapping[str, float] | None


def release_status(project: Project) -> ReleaseStatus:
    """Return how the newest release stands.

    Raises
    ------
    NotFoundError
        Nothing was released yet.
    """
    release = _newest(project)
    decision = None
    if release.ended is None:
        from onward.flow.release.judge import judge

        decision = judge(project.site, project.definition, release, _predictions(project))
    return ReleaseStatus(
        release=release,
        strategies=[strategy.name for strategy in project.definition.pipeline.release],
        decision=decision,
        decided=decisions(project.ledger, release),
        served=_served(project, release.model),
    )


def release_history(project: Project, *, looks: int = 60) -> Sequence[ReleaseDecision]:
    """Return what the statistics would have said at so many moments, oldest first.

    Raises
    ------
    NotFoundError
        No release is under way, or nobody asked since its strategy began.
    """
    from onward.flow.release.judge import history
    from onward.flow.release.steer import running

    release = running(project.site, project.definition.model)
    found = history(project.site, project.definition, release, _predictions(project), looks=looks)
    if not found:
        raise NotFoundError(
            f"the release of version {release.version} has no answers to judge yet",
            next_step="`onward up` takes them in; `onward release` says what is missing",
        )
    return found


def steer(project: Project, verb: str, reason: str, *, arm: str = "candidate") -> Release:
    """Pause, resume, promote or abort the release that is under way, if the caller may promote.

    A promotion may wait for a second person's approval of just this version; what holds a version
    back waits for nobody.

    Raises
    ------
    DeniedError
        The caller may not, or it waits for a second person's approval.
    NotFoundError
        No release is under way, or it has no such arm.
    """
    from onward.flow.release import steer as hand

    model = project.definition.model
    active = hand.running(project.site, model)
    if verb == "promote":
        image = hand.arm_of(active, arm)
        by = require(project, "promote", model, images=[image]).name
        approver = approved_by(project, by, "promote", model, [image])
        return hand.promote(project.site, model, reason, by=by, arm=arm, approver=approver)
    by = require(project, "promote", model, waits=False).name
    match verb:
        case "pause":
            return hand.pause(project.site, model, reason, by=by)
        case "resume":
            return hand.resume(project.site, model, reason, by=by)
        case _:
            return hand.abort(project.site, model, reason, by=by)


def _newest(project: Project) -> Release:
    found = current(project.ledger, project.definition.model)
    if found is None:
        raise NotFoundError(
            f"nothing of {project.definition.model!r} was released yet",
            next_step="start with `onward run`",
        )
    return found


def _predictions(project: Project) -> DatasetRef | None:
    """Return the predictions that `onward up` has folded; it does so at each turn."""
    from onward.stages.serve.step import TABLE

    lake = project.site.lake
    return None if lake.head(TABLE) is None else lake.dataset(TABLE)


def _served(project: Project, model: str) -> Mapping[str, float] | None:
    import httpx

    from onward.app.gateway.serving import address

    url = address(project.settings.state)
    if url is None:
        return None
    try:
        headers = shown(project.settings.state)
        answer = httpx.get(
            f"{url}/routes", headers=headers, verify=verified(project.settings.state), timeout=5
        )
        routes: Any = answer.json().get(model, {})
    except httpx.HTTPError:
        return None
    return {route["arm"]: route["served"] for route in routes.get("routes", ())}
