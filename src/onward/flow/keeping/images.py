"""Which images stay, and who needs each; the rest may go.

The layout does not know who names an image: the ledger, the registry and the routes do.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from onward.core.records import ImageRef
from onward.core.refs import parse_ref
from onward.flow.happened import happened
from onward.flow.pipeline.definition import Definition
from onward.flow.release.releases import current, packaged, promotions
from onward.flow.release.routing import enact
from onward.flow.release.serving import written
from onward.flow.run.runs import runs, unfinished
from onward.flow.site import Site
from onward.stages.deploy.image.model import name_of
from onward.stages.deploy.oci.descriptor import REF_NAME
from onward.stages.deploy.oci.image import is_image, read_image
from onward.stages.deploy.oci.layout import Layout
from onward.stages.deploy.oci.pruning import Pruning, planned, prune

PRUNED: Final = "images.pruned"

GRACE: Final = timedelta(hours=1)
"""Blobs younger than this stay: they may belong to an image that is being put together."""

_UNPACKED: Final = "unpacked"
_GOING: Final = ".going-"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageVerdict:
    """An image of the layout, and why it stays; None where it goes."""

    name: str
    digest: str
    because: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PrunedImages:
    """What a pruning removed, or would.

    Parameters
    ----------
    verdicts
        Every image: those that stay, and why, and those that go.
    blobs, bytes
        How many blobs go, and what they free: what images share goes with the last of them.
    young
        Blobs that nothing needs and that stay for now: they are younger than an hour.
    staged
        Folders of acceptances on staging, by run.
    """

    verdicts: tuple[ImageVerdict, ...]
    blobs: int
    bytes: int
    young: int
    staged: tuple[str, ...]


def prune_images(
    site: Site,
    definition: Definition,
    *,
    newest: int,
    dry_run: bool = False,
    grace: timedelta = GRACE,
) -> PrunedImages:
    """Remove the images that nobody names and that are not among each name's `newest`.

    With them go the gateway's unpacked copies of them, and what acceptances of older runs left on
    staging; routes no longer offer them to those who ask for a version. With `dry_run` nothing is
    removed.

    Raises
    ------
    CorruptError
        An image that stays cannot be read; nothing was removed.
    """
    layout = Layout(site.folders.images)
    verdicts = _verdicts(site, definition, layout, newest)
    going = {verdict.digest for verdict in verdicts if verdict.because is None}
    staged = _staged(site, newest)
    before = site.clock.now() - grace
    done: Pruning = (planned if dry_run else prune)(layout, going, before=before)
    found = PrunedImages(
        verdicts=verdicts,
        blobs=len(done.blobs),
        bytes=done.bytes,
        young=done.young,
        staged=tuple(folder.name for folder in staged),
    )
    if not dry_run:
        unpacked = site.folders.gateway / _UNPACKED
        _remove(_without_image(unpacked, done, before), unpacked)
        _remove(staged, site.folders.staging)
        if going and written(site.folders, definition.model) is not None:
            enact(site, definition.model)
        _tell(site, found)
    return found


def _tell(site: Site, found: PrunedImages) -> None:
    gone = [verdict for verdict in found.verdicts if verdict.because is None]
    if gone or found.blobs or found.staged:
        now = site.clock.now().isoformat()
        happened(
            site, PRUNED, "images", key=now, bytes=found.bytes,
            images=[{"name": one.name, "digest": one.digest} for one in gone],
        )  # fmt: skip


def _verdicts(
    site: Site, definition: Definition, layout: Layout, newest: int
) -> tuple[ImageVerdict, ...]:
    entries = {entry.digest: entry for entry in layout.entries() if is_image(entry)}
    tags = {digest: entry.annotations.get(REF_NAME) for digest, entry in entries.items()}
    names = {
        digest: name_of(read_image(layout, entry)) or tags[digest] or ""
        for digest, entry in entries.items()
    }
    needed = _needed(site, definition, {name.partition(":")[0] for name in names.values()})
    latest = _latest(names, newest)
    found = [
        ImageVerdict(
            name=name,
            digest=digest,
            because=needed.get(digest) or ("newest" if digest in latest and tags[digest] else None),
        )
        for digest, name in names.items()
    ]
    return tuple(sorted(found, key=lambda v: (_version(v.name), v.digest)))


def _latest(names: Mapping[str, str], newest: int) -> set[str]:
    """Return the images of each name's newest versions, by digest."""
    versions: dict[str, list[int]] = {}
    for name in set(names.values()):
        model, version = _version(name)
        versions.setdefault(model, []).append(version)
    kept = {model: sorted(found)[-newest:] if newest else [] for model, found in versions.items()}
    return {
        digest for digest, name in names.items() if _version(name)[1] in kept[_version(name)[0]]
    }


def _version(name: str) -> tuple[str, int]:
    model, _, version = name.rpartition(":")
    return (model, int(version)) if version.isdigit() else (name, 0)


def _needed(site: Site, definition: Definition, models: set[str]) -> dict[str, str]:
    """Return why each image is needed that is named, by digest; a version's newest counts too."""
    found: dict[str, str] = {}
    for model in sorted(models):
        images = packaged(site.ledger, model)
        for image, why in reversed(_named(site, definition, model, images)):
            found[image.digest] = why
            if image.model.version in images:
                found[images[image.model.version].digest] = why
    applied = site.ledger.events(kind="deployment.applied")
    newest = {(told.event.facts["target"], told.event.subject): told.event for told in applied}
    for (target, _), event in newest.items():
        for image_ref in event.inputs:
            found.setdefault(str(parse_ref(image_ref).version), f"deployed to {target}")
    return found


def _named(
    site: Site, definition: Definition, model: str, images: Mapping[int, ImageRef]
) -> list[tuple[ImageRef, str]]:
    """Return the images that something names, the most telling first."""
    found: list[tuple[ImageRef, str]] = []
    line = promotions(site.ledger, model)[-2:]
    found += zip(reversed(line), ("champion", "champion before"), strict=False)
    release, routes = current(site.ledger, model), written(site.folders, model)
    if release is not None and release.ended is None:
        found += [(image, "in the release under way") for image in release.arms.values()]
    if routes is not None:
        found += [(route.image, "in the routes") for route in routes.routes]
    for one in site.registry.versions(model):
        if one.aliases and one.version in images:
            found.append((images[one.version], f"alias {', '.join(one.aliases)}"))
    arms = {arm for s in definition.pipeline.release for step in s.plan for arm in step.shares}
    if model == definition.model:
        found += [(i, "in a split") for v, i in images.items() if f"v{v}" in arms]
    return found


def _staged(site: Site, newest: int) -> list[Path]:
    """Return what acceptances left of runs that are over and not among the newest."""
    last = runs(site.ledger, limit=newest) if newest else ()
    kept = {run.id for run in (*last, *unfinished(site.ledger))}
    folders = sorted(site.folders.staging.glob("*"))
    return [folder for folder in folders if folder.is_dir() and folder.name not in kept]


def _without_image(unpacked: Path, done: Pruning, before: datetime) -> list[Path]:
    """Return the unpacked copies, older than `before`, of images that the layout has no more."""
    kept = {entry.digest.removeprefix("sha256:") for entry in done.stay}
    return [
        folder
        for folder in sorted(unpacked.glob("[0-9a-f]*"))
        if folder.name not in kept and folder.stat().st_mtime <= before.timestamp()
    ]


def _remove(folders: Sequence[Path], parent: Path) -> None:
    """Remove folders; each goes out of the way first, whole, so that none is ever half there."""
    for folder in folders:
        if folder.is_dir():
            folder.rename(folder.with_name(f"{_GOING}{folder.name}"))
    for folder in parent.glob(f"{_GOING}*"):
        shutil.rmtree(folder, ignore_errors=True)
