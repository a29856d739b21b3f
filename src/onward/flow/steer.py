"""A person's hand on a release: pause it, let it go on, promote or abort it."""

from __future__ import annotations

from onward.core.errors import NotFoundError
from onward.core.refs import ref
from onward.flow.happened import happened
from onward.flow.release import end
from onward.flow.releases import Release, current
from onward.flow.site import Site


def running(site: Site, model: str) -> Release:
    """Return the release that is under way.

    Raises
    ------
    NotFoundError
        None is.
    """
    active = current(site.ledger, model)
    if active is None or active.ended is not None:
        ended = f"; version {active.version} was {active.outcome}" if active else ""
        raise NotFoundError(
            f"no release of {model!r} is under way{ended}",
            next_step="`onward run` starts one, when a challenger passes its gates",
        )
    return active


def pause(site: Site, model: str, reason: str, *, by: str) -> Release:
    """Let it neither advance nor be promoted. Harm, and the deadline, end it all the same."""
    return _tell(site, running(site, model), "release.paused", reason, by)


def resume(site: Site, model: str, reason: str, *, by: str) -> Release:
    """Let a paused release go on."""
    active = running(site, model)
    if not active.paused:
        raise NotFoundError(f"the release of version {active.version} is not paused")
    return _tell(site, active, "release.resumed", reason, by)


def promote(site: Site, model: str, reason: str, *, by: str, arm: str = "candidate") -> Release:
    """Make the candidate, or another arm, the champion now, whatever the statistics say."""
    active = running(site, model)
    if arm not in active.arms:
        raise NotFoundError(
            f"the release has no arm {arm!r}", expected=f"one of {', '.join(active.arms)}"
        )
    return end(site, active, "promoted", reason, arm=arm, by=by)


def abort(site: Site, model: str, reason: str, *, by: str) -> Release:
    """Give everything back to the champion now."""
    return end(site, running(site, model), "rolledback", reason, by=by)


def _tell(site: Site, release: Release, kind: str, reason: str, by: str) -> Release:
    times = sum(
        told.event.key.startswith(ref("release", release.model, release.version) + ".")
        for told in site.ledger.events(kind=kind, subject=release.model)
    )
    happened(
        site,
        kind,
        release.model,
        key=ref("release", release.model, f"{release.version}.{times + 1}"),
        inputs=(release.ref,),
        reason=reason,
        by=by,
    )
    return running(site, release.model)
