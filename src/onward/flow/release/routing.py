"""Routes as the ledger wants them: who gets which arm now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from onward.core.records import Deployment, ImageRef, Route, Routes
from onward.core.refs import ref
from onward.flow.happened import fact
from onward.flow.release.releases import Release, champion, current, serving_ref
from onward.flow.release.serving import written
from onward.flow.site import Site
from onward.stages.deploy.oci.layout import Layout
from onward.stages.serve.release.config import SHADOW
from onward.stages.serve.routes import CHAMPION, write_routes

KEPT: Final = 100
"""How many versions that have no part of the traffic can be asked for by their number."""


def enact(site: Site, model: str) -> Routes | None:
    """Make routes and the champion's alias what the ledger says; safe to repeat.

    Somebody else may tell the ledger, and write routes, between our reading and our writing: who
    writes last looks again, so a rollback is not undone by a loop that was just about to write.
    """
    while True:
        read = _newest(site, model)
        made = _enacted(site, model)
        if _newest(site, model) == read:
            return made


def _newest(site: Site, model: str) -> int:
    """Return the number of the last event that the ledger has of a model."""
    found = site.ledger.events(subject=model, newest_first=True, limit=1)
    return found[0].seq if found else 0


def _enacted(site: Site, model: str) -> Routes | None:
    serving = champion(site.ledger, model)
    if serving is None:
        return None
    active = current(site.ledger, model)
    if active is None or active.ended is not None:
        routes = [
            Route(
                arm=CHAMPION, image=serving, percent=100.0, release=serving_ref(site.ledger, model)
            )
        ]
    else:
        routes = _shared(active, serving)
    salt = ref("release", model, active.version if active else 0)
    before = written(site.folders, model)
    audience = active.audience if active is not None and active.ended is None else ""
    made = Routes(
        model=model,
        salt=salt,
        routes=tuple(routes),
        log=before.log if before else None,
        on_log_failure=before.on_log_failure if before else None,
        deadline_s=before.deadline_s if before else None,
        rows=before.rows if before else None,
        audience=audience,
        beside=serving_ref(site.ledger, model) if audience else "",
        kept=_kept(site, model, routes),
    )
    write_routes(site.folders.routes, made)
    known = site.registry.champion(model)
    if known is None or known.version != serving.model.version:
        site.registry.promote(serving.model)
    return made


def _kept(site: Site, model: str, routes: Sequence[Route]) -> tuple[ImageRef, ...]:
    """Return the newest versions that staging accepted, that have no part of the traffic, and whose
    images were not pruned.
    """
    served = {route.image.model.version for route in routes}
    told = site.ledger.events(kind="image.accepted", subject=model)
    accepted = (fact(one, "deployment", Deployment).image for one in told)
    images = {image.model.version: image for image in accepted}
    layout = Layout(site.folders.images)
    there = (v for v in images.keys() - served if layout.has(images[v].digest))
    return tuple(images[version] for version in sorted(there, reverse=True)[:KEPT])


def _shared(release: Release, serving: ImageRef) -> list[Route]:
    images: Mapping[str, ImageRef] = {
        CHAMPION: serving, SHADOW: release.candidate, **release.arms
    }  # fmt: skip
    return [
        Route(
            arm=arm,
            image=images[arm],
            percent=percent,
            release=release.ref,
            buckets=release.buckets.get(arm, ()),
        )
        for arm, percent in sorted(release.now.items(), key=lambda share: share[0] != CHAMPION)
    ]
