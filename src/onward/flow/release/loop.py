"""The release loop: package, stage, step by step through the strategies, promote or roll back.

The ledger holds a release's state and nothing else does; routes and the registry's aliases
follow from it (`enact`), so a crash between deciding and doing is mended by doing it again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Literal

from onward.core.errors import NotFoundError, unknown_name
from onward.core.records import Deployment, ImageRef, ModelRef, ReleaseDecision
from onward.core.refs import ref
from onward.flow.happened import fact, happened
from onward.flow.pipeline.definition import Definition
from onward.flow.release.approval import approved_by, awaited
from onward.flow.release.image import packaged, there
from onward.flow.release.judge import judge
from onward.flow.release.observe import bring_in
from onward.flow.release.releases import (
    Release,
    champion,
    current,
    promotions,
    release_of,
    reversions,
)
from onward.flow.release.replay import answered
from onward.flow.release.routing import enact
from onward.flow.site import Site
from onward.stages.deploy.step import accept
from onward.stages.serve.release.config import SHADOW, Step
from onward.stages.serve.routes import CHAMPION, allot


def deploy(site: Site, definition: Definition, model: ModelRef, run: str) -> Deployment:
    """Package a registered model and let it pass acceptance on staging."""
    image = packaged(site, model, run)
    deployment = accept(
        image,
        servers=site.servers,
        acceptance=definition.pipeline.acceptance,
        folder=site.folders.staging / run,
        past=partial(answered, site, definition.model),
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
    """Start a release: the first version takes everything, a later one its first step's share.

    A release of the same model that is still under way ends first: it is superseded. One that began
    before is not begun again, and supersedes nothing: a run that was cut short comes back to it.
    """
    model, version = image.model.name, image.model.version
    first = champion(site.ledger, model) is None
    arms = {"candidate": image} if first else _arms(site, definition, image)
    active = current(site.ledger, model)
    if active is not None and active.version != version:
        if (known := release_of(site.ledger, model, version)) is not None:
            return known
        if active.ended is None:
            end(site, active, "rolledback", f"superseded by version {version}")
    serving = champion(site.ledger, model)  # only now: the one before may just have been promoted
    found = None if serving is None else _strategy_from(definition, 0)
    shares = {CHAMPION: 0.0, "candidate": 100.0} if found is None else _whole(found[1])
    happened(
        site,
        "release.started",
        model,
        key=ref("release", model, version),
        run=run,
        inputs=(image.ref, image.model.ref),
        outputs=(ref("release", model, f"{version}.1"),),
        candidate=image,
        champion=serving,
        arms=arms,
        strategy=0 if found is None else found[0],
        percent=shares.get("candidate", 0.0),
        shares=shares,
        buckets=allot({}, shares),
        audience="" if found is None else _audience(definition, found[0]),
    )
    started = current(site.ledger, model)
    if started is None:  # pragma: no cover - the event was recorded just above
        raise NotFoundError(f"no release of {model} is in the ledger")
    if found is None and started.ended is None:
        alone = "there was no champion to compare with"
        return end(
            site, started, "promoted", "no strategy has a step below 100 %" if serving else alone
        )
    enact(site, model)
    return started


def _arms(site: Site, definition: Definition, candidate: ImageRef) -> dict[str, ImageRef]:
    """Return the images of all arms that the strategies name, beside the champion's.

    Raises
    ------
    NotFoundError
        A split names a version that was never packaged.
    """
    found = {"candidate": candidate}
    packaged = site.ledger.events(kind="image.packaged", subject=candidate.name)
    images = [fact(told, "image", ImageRef) for told in packaged]
    known = {f"v{image.model.version}": image for image in images}
    for strategy in definition.pipeline.release:
        for arm in strategy.plan[0].shares if strategy.plan else ():
            if arm in found or arm == SHADOW:
                continue
            if arm not in known:
                what, expected = unknown_name("version", arm, known)
                raise NotFoundError(
                    f"the split of {strategy.name} names {arm!r}: {what}", expected=expected
                )
            found[arm] = there(known[arm])
    return found


def advance(site: Site, definition: Definition) -> ReleaseDecision | None:
    """Judge the release that is under way and do what the statistics allow; None if none is.

    Routes are made what the ledger says first: what a crash left undone is done.
    """
    enact(site, definition.model)
    active = current(site.ledger, definition.model)
    if active is None or active.ended is not None:
        return None
    decision = judge(site, definition, active, bring_in(site))
    decision = _held(site, definition, active, decision)
    now = current(site.ledger, definition.model)
    if now is not None and now.ended is None and now.ref == active.ref:  # else others were faster
        _act(site, definition, active, decision)
    return decision


def _held(
    site: Site, definition: Definition, release: Release, decision: ReleaseDecision
) -> ReleaseDecision:
    """Hold what a person has paused, or must approve; a promotion that nobody approves by the
    deadline falls back. What a harmful arm loses goes to the champion all the same.
    """
    if decision.action not in ("advance", "promote") or _gives_back(release, decision):
        return decision
    if release.paused:
        reason = f"paused ({release.paused}), else {decision.action}: {decision.reason}"
        return replace(decision, action="hold", reason=reason)
    last = _strategy_from(definition, release.strategy + 1) is None
    if decision.action != "promote" or not last:
        return decision
    wanted = awaited(site, definition, release, decision)
    if wanted is None:
        return decision
    strategy = definition.pipeline.release[-1]
    if site.clock.now() - release.strategy_started_at >= strategy.lasts:
        return replace(
            decision, action="rollback", reason=f"nobody approved it in time: {decision.reason}"
        )
    reason = f"waits for `onward approve {wanted.request}`: {decision.reason}"
    return replace(decision, action="hold", reason=reason)


def _gives_back(release: Release, decision: ReleaseDecision) -> bool:
    """Whether it advances to shares of which none grows but the champion's."""
    had = [(release.now.get(arm, 0.0), share) for arm, share in decision.shares.items()]
    grows, shrinks = any(new > old for old, new in had), any(new < old for old, new in had)
    return decision.action == "advance" and shrinks and not grows


def _act(site: Site, definition: Definition, active: Release, decision: ReleaseDecision) -> None:
    match decision.action:
        case "promote":
            following = _strategy_from(definition, active.strategy + 1)
            if following is None:
                approver = approved_by(site, definition, active, decision)
                end(
                    site, active, "promoted", decision.reason, decision, arm=decision.arm,
                    approver=approver,
                )  # fmt: skip
            else:
                _step(site, definition, active, following[0], _whole(following[1]), decision)
        case "rollback":
            end(site, active, "rolledback", decision.reason, decision)
        case "advance":
            _step(site, definition, active, active.strategy, _filled(decision.shares), decision)
        case "hold":
            pass


def _strategy_from(definition: Definition, place: int) -> tuple[int, Step] | None:
    """Return the next strategy that has a step, and its first; None where none is left."""
    strategies = definition.pipeline.release
    for number in range(place, len(strategies)):
        if strategies[number].plan:
            return number, strategies[number].plan[0]
    return None


def _audience(definition: Definition, strategy: int) -> str:
    strategies = definition.pipeline.release
    return strategies[min(strategy, len(strategies) - 1)].audience or ""


def _whole(step: Step) -> dict[str, float]:
    return _filled(step.shares)


def _filled(shares: Mapping[str, float]) -> dict[str, float]:
    """Return shares with the champion's, which is what others leave."""
    others = {arm: percent for arm, percent in shares.items() if arm != CHAMPION}
    return {CHAMPION: 100.0 - sum(others.values()), **others}


def _step(
    site: Site,
    definition: Definition,
    active: Release,
    strategy: int,
    shares: Mapping[str, float],
    decision: ReleaseDecision,
) -> None:
    step = active.step + 1
    following = ref("release", active.model, f"{active.version}.{step}")
    happened(
        site,
        "release.stepped",
        active.model,
        key=following,
        inputs=(active.ref,),
        outputs=(following,),
        step=step,
        strategy=strategy,
        percent=shares.get("candidate", 0.0),
        shares=shares,
        buckets=allot(active.buckets, shares),
        audience=_audience(definition, strategy),
        decision=decision,
    )
    enact(site, active.model)


def end(
    site: Site,
    release: Release,
    how: Literal["promoted", "rolledback"],
    reason: str,
    decision: ReleaseDecision | None = None,
    *,
    arm: str = "candidate",
    by: str = "",
    approver: str | None = None,
) -> Release:
    """End a release, once: whoever tells it first decides. `arm` is the one that is promoted."""
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
        arm=arm,
        image=release.arms[arm],
        decision=decision,
        by=by,
        approved_by=approver,
    )
    enact(site, release.model)
    ended = current(site.ledger, release.model)
    return ended if ended is not None else release


def rollback(site: Site, model: str, reason: str, *, by: str) -> Release:
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
        return end(site, active, "rolledback", reason, by=by)
    line = promotions(site.ledger, model)
    if len(line) < 2:
        raise NotFoundError(
            f"version {line[-1].model.version if line else '?'} of {model!r} has no predecessor",
            expected="an earlier version that was champion once",
            next_step="`onward models` lists them",
        )
    leaving, returning = line[-1], there(line[-2])
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
        by=by,
    )
    enact(site, model)
    taken_back = current(site.ledger, model)
    return taken_back if taken_back is not None else active
