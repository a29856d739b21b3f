"""Promotions that wait for a person: where access declares so, the loop's own included."""

from __future__ import annotations

import hashlib
from typing import Final

from onward.flow.definition import Definition
from onward.flow.happened import happened
from onward.flow.releases import Release
from onward.flow.site import Site

LOOP: Final = "onward"
"""Who asks, where no person does."""


def awaited(site: Site, definition: Definition, release: Release, reason: str) -> str | None:
    """Return the request that a promotion waits for, and make it; None where it may go on.

    With ``approvals=["promote"]`` in `ow.Access` a release is promoted once somebody who may has
    approved it: `onward approve REQUEST`.
    """
    access = definition.access
    if access is None or "promote" not in access.approvals:
        return None
    asked = f"{LOOP}\0promote\0{release.model}@{release.version}"
    request = hashlib.sha256(asked.encode()).hexdigest()[:12]
    if site.ledger.events(kind="approval.given", subject=request, limit=1):
        return None
    happened(
        site,
        "approval.requested",
        request,
        key=request,
        by=LOOP,
        known_by="system",
        action="promote",
        target=release.model,
        reason=f"version {release.version}: {reason}",
    )
    return request
