"""A person's hand on a release: pause it, let it go on, promote or abort it."""

from __future__ import annotations

from onward.core.errors import NotFoundError, unknown_name
from onward.core.records import ImageRef
from onward.core.refs import ref
from onward.flow.happened import happened
from onward.flow.release.loop import end
from onward.flow.release.releases import Release, current
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
        ended = f"; {active.endings[-1]}" if active else ""
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


def promote(
    site: Site,
    model: str,
    reason: str,
    *,
    by: str,
    arm: str = "candidate",
    approver: str | None = None,
) -> Release:
    """Make the candidate, or another arm, the champion now, whatever the statistics say.

    Raises
    ------
    NotFoundError
        No release is under way, or it has no such arm.
    """
    active = running(site, model)
    arm_of(active, arm)
    return end(site, active, "promoted", reason, arm=arm, by=by, approver=approver)


def arm_of(release: Release, arm: str) -> ImageRef:
    """Return the image of an arm that can be promoted.

    Raises
    ------
    NotFoundError
        The release has no such arm.
    """
    if arm not in release.arms:
        what, expected = unknown_name("arm of this release", arm, release.arms)
        raise NotFoundError(what, expected=expected)
    return release.arms[arm]


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
