"""Approvals: what waits for a second person, and what was approved, by whom.

An approval is of one request: who asks, what for and, where versions are promoted, exactly these
images. Another version, or the same one packaged anew, is another request. Where it is about
persons it is of one act: just these values, or this subject, once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Container, Sequence
from dataclasses import replace
from itertools import count
from typing import Final, Literal

from onward.core.events import Recorded
from onward.core.ports import Ledger
from onward.core.records import ImageRef, ReleaseDecision
from onward.core.records.access import Action, Approval, ApprovedImage
from onward.flow.happened import happened
from onward.flow.pipeline.definition import Definition
from onward.flow.release.releases import Release, champion, current, packaged
from onward.flow.site import Site

LOOP: Final = "onward"
"""Who asks, where no person does."""

USED: Final = "approval.used"


def asked_for(
    by: str,
    action: Action,
    target: str,
    images: Sequence[ImageRef] = (),
    reason: str = "",
    *,
    of: str = "",
    before: int = 0,
) -> Approval:
    """Return a request, named by all that it is about but its reason.

    `before` is how often the same was approved and done before.
    """
    about = tuple(
        ApprovedImage(version=image.model.version, digest=image.digest)
        for image in sorted(images, key=lambda i: (i.model.version, i.digest))
    )
    words = [by, action, target, *(f"{image.version} {image.digest}" for image in about)]
    words += [of, str(before)] if of else []
    request = hashlib.sha256("\0".join(words).encode()).hexdigest()[:12]
    return Approval(
        request=request, by=by, action=action, target=target, images=about, of=of, reason=reason
    )


def asked_for_once(ledger: Ledger, by: str, action: Action, target: str, of: str) -> Approval:
    """Return a request of one act: a new one each time that an approval of the same was used."""
    used = {told.event.subject for told in ledger.events(kind=USED)}
    requests = (asked_for(by, action, target, of=of, before=before) for before in count())
    return next(wanted for wanted in requests if wanted.request not in used)


def use_up(site: Site, wanted: Approval) -> None:
    """Tell that what was approved is done: the approval allows nothing more."""
    if approver(site.ledger, wanted.request) is not None:
        happened(site, USED, wanted.request, key=wanted.request, by=wanted.by)


def approver(ledger: Ledger, request: str) -> str | None:
    """Return who approved a request, None while nobody has."""
    given = ledger.events(kind="approval.given", subject=request, limit=1)
    return given[0].event.facts["by"] if given else None


def ask(
    site: Site, wanted: Approval, known_by: Literal["token", "name", "system"] = "system"
) -> None:
    """Tell the ledger that a request waits; once, however often it is asked."""
    happened(
        site,
        "approval.requested",
        wanted.request,
        key=wanted.request,
        by=wanted.by,
        known_by=known_by,
        action=wanted.action,
        target=wanted.target,
        images=wanted.images,
        of=wanted.of,
        reason=wanted.reason,
    )


def approvals(ledger: Ledger) -> Sequence[Approval]:
    """Return what was asked for, oldest first, and how each stands."""
    given = {told.event.subject: told for told in ledger.events(kind="approval.given")}
    used = {told.event.subject for told in ledger.events(kind=USED)}
    asked = ledger.events(kind="approval.requested")
    return [_standing(ledger, told, given.get(told.event.subject), used) for told in asked]


def _standing(
    ledger: Ledger, asked: Recorded, given: Recorded | None, used: Container[str]
) -> Approval:
    facts = asked.event.facts
    found = Approval(
        request=asked.event.subject,
        by=facts["by"],
        action=facts["action"],
        target=facts["target"],
        images=tuple(ApprovedImage(**image) for image in facts.get("images", ())),
        of=facts.get("of", ""),
        reason=facts["reason"],
        asked_at=asked.event.at,
    )
    if given is not None:
        by, at = given.event.facts["by"], given.event.at
        state: Literal["given", "used"] = "used" if found.request in used else "given"
        return replace(found, state=state, approver=by, given_at=at)
    if {image.digest for image in found.images} <= _in_question(ledger, found.target):
        return found
    return replace(found, state="void")


def _in_question(ledger: Ledger, model: str) -> set[str]:
    """Return the images, by digest, that serve or that a release under way could promote.

    A version's newest image is one of them: it may have been made whole since.
    """
    serving, release = champion(ledger, model), current(ledger, model)
    arms = release.arms.values() if release is not None and release.ended is None else ()
    images, newest = [*arms, *([serving] if serving is not None else [])], packaged(ledger, model)
    again = [newest[i.model.version] for i in images if i.model.version in newest]
    return {image.digest for image in (*images, *again)}


def awaited(
    site: Site, definition: Definition, release: Release, decision: ReleaseDecision
) -> Approval | None:
    """Return the request that a promotion waits for, and make it; None where it may go on.

    With ``approvals=["promote"]`` in `ow.Access` a release is promoted once somebody who may has
    approved it: `onward approve REQUEST`.
    """
    wanted = _wanted(definition, release, decision)
    if wanted is None or approver(site.ledger, wanted.request) is not None:
        return None
    ask(site, wanted)
    return wanted


def approved_by(
    site: Site, definition: Definition, release: Release, decision: ReleaseDecision
) -> str | None:
    """Return who approved the promotion that a decision is about; None where nobody had to."""
    wanted = _wanted(definition, release, decision)
    return None if wanted is None else approver(site.ledger, wanted.request)


def _wanted(definition: Definition, release: Release, decision: ReleaseDecision) -> Approval | None:
    access = definition.access
    if access is None or "promote" not in access.approvals:
        return None
    image = release.arms[decision.arm or "candidate"]
    return asked_for(LOOP, "promote", release.model, [image], decision.reason)
