"""A project's images: building, listing, checking them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from onward.app.settings.sections import Settings
from onward.core.errors import DeclarationError, NotFoundError
from onward.core.ports import Secrets

if TYPE_CHECKING:
    from onward.app.project import Project
    from onward.core.records import ImageRef
    from onward.flow.keeping.images import PrunedImages
    from onward.stages.deploy.image.verification import Check
    from onward.stages.deploy.oci.descriptor import Descriptor
    from onward.stages.deploy.oci.layout import Layout
    from onward.stages.deploy.port import Base, Bom, Packages, Workbench

KEY: Final = "image-signing"
"""The secret with which images are signed, where there is one."""

_STORES: Final = {
    "sqlite": (),
    "redis": ("redis", "hiredis"),
    "postgres": ("psycopg", "psycopg-binary"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerInfo:
    """A layer: what it holds (base, environment, onward, record, model), its size in bytes."""

    holds: str
    digest: str
    size: int
    created_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageInfo:
    """An image of the project's layout. `whole` images have a base and can be run as they are."""

    name: str
    digest: str
    size: int
    whole: bool
    layers: Sequence[LayerInfo]
    attached: Mapping[str, str]


def open_workbench(settings: Settings, secrets: Secrets) -> Workbench:
    """Return what builds images, by ``[deploy]``.

    Raises
    ------
    DeclarationError
        ``[deploy] base`` is missing or names nothing that there could be, or a library is missing.
    """
    from onward.stages.deploy.adapters.ed25519 import signer
    from onward.stages.deploy.port import Workbench

    key = secrets.find(KEY)
    return Workbench(
        base=_base(settings, secrets),
        packages=_packages(settings),
        bom=_bom(),
        signer=None if key is None else signer(key),
        platform=settings.deploy.platform,
        extras=_STORES[settings.online.store],
    )


def build(project: Project, version: int | None = None) -> ImageRef:
    """Build the whole image of a registered version, the newest unless one is named."""
    from onward.app.secrets import open_project_secrets
    from onward.flow.release.image import build_image, registered

    model = registered(project.ledger, project.definition.model, version)
    bench = open_workbench(project.settings, open_project_secrets(project.settings))
    with project.alone():
        return build_image(project.site, model, bench)


def images(project: Project) -> Sequence[ImageInfo]:
    """Return the project's tagged images, by name."""
    layout = open_layout(project.settings)
    return [_info(layout, name, found) for name, found in sorted(layout.tags().items())]


def image(project: Project, reference: str) -> ImageInfo:
    """Return one image, by ``model:version`` or its digest.

    Raises
    ------
    NotFoundError
        There is none.
    """
    layout = open_layout(project.settings)
    return _info(layout, reference, find(layout, reference))


def prune(project: Project, *, newest: int | None = None, dry_run: bool = False) -> PrunedImages:
    """Remove images that nothing names, but a number of the newest; ``[deploy] keep_images``.

    Raises
    ------
    BusyError
        Another process runs the project: it may be building an image.
    """
    from onward.flow.keeping.images import prune_images

    keep = project.settings.deploy.keep_images if newest is None else newest
    with nullcontext() if dry_run else project.alone():
        return prune_images(project.site, project.definition, newest=keep, dry_run=dry_run)


def attached(project: Project, reference: str) -> Mapping[str, Any]:
    """Return what is attached to an image, by media type, decoded."""
    import json

    from onward.stages.deploy.image.provenance import ENVELOPE, opened
    from onward.stages.deploy.oci.referrers import content, referrers

    layout = open_layout(project.settings)
    found = {
        entry.artifact_type or "": content(layout, entry)
        for entry in referrers(layout, find(layout, reference))
    }
    return {
        kind: opened(data) if kind == ENVELOPE else json.loads(data) for kind, data in found.items()
    }


def verify(project: Project, reference: str, key: str | None = None) -> Sequence[Check]:
    """Check an image: its blobs, what is attached, and its signature.

    `key` is a public key's text; without one, the project's own key is used, where it has one.
    """
    from onward.app.secrets import open_project_secrets
    from onward.stages.deploy.adapters.ed25519 import Ed25519Verifier, signer
    from onward.stages.deploy.image.provenance import Verifier
    from onward.stages.deploy.image.verification import check

    verifier: Verifier | None = None
    if key is not None:
        verifier = Ed25519Verifier(key)
    elif (own := open_project_secrets(project.settings).find(KEY)) is not None:
        verifier = signer(own)
    layout = open_layout(project.settings)
    return check(layout, find(layout, reference), verifier)


def dockerfile(project: Project, reference: str, folder: Path) -> Path:
    """Write the context of a `docker build` with the image's content; return its Dockerfile."""
    from onward.stages.deploy.image.dockerfile import write_context

    layout = open_layout(project.settings)
    return write_context(layout, find(layout, reference), folder)


def public_key(project: Project, *, new: bool = False) -> str:
    """Return the public key by which others check this project's images.

    With `new`, a key is made where there is none.

    Raises
    ------
    NotFoundError
        The project has no key.
    """
    from onward.app.secrets import open_project_secrets
    from onward.stages.deploy.adapters.ed25519 import new_key, signer

    secrets = open_project_secrets(project.settings)
    key = secrets.keep(KEY, new_key(), first=True) if new else secrets.find(KEY)
    if key is None:
        raise NotFoundError(
            "this project's images are not signed: it has no key",
            next_step="`onward image key --new` makes one; it signs what is built from then on",
        )
    return signer(key).public


def open_layout(settings: Settings) -> Layout:
    """Return the project's OCI image layout."""
    from onward.flow.site import Folders
    from onward.stages.deploy.oci.layout import Layout

    return Layout(Folders(settings.state).images)


def find(layout: Layout, reference: str) -> Descriptor:
    """Return an image of the layout, by ``model:version`` or digest."""
    from onward.stages.deploy.oci.image import is_image

    found = layout.resolve(reference)
    if not is_image(found):
        raise NotFoundError(f"{reference!r} is attached to an image, and is none itself")
    return found


def _info(layout: Layout, name: str, found: Descriptor) -> ImageInfo:
    from onward.stages.deploy.image.model import PART, name_of
    from onward.stages.deploy.oci.image import read_image
    from onward.stages.deploy.oci.referrers import referrers

    read = read_image(layout, found)
    layers = [
        LayerInfo(
            holds=layer.descriptor.annotations.get(PART, ""),
            digest=layer.descriptor.digest,
            size=layer.descriptor.size,
            created_by=layer.created_by,
        )
        for layer in read.layers
    ]
    return ImageInfo(
        name=name_of(read) or name,
        digest=found.digest,
        size=sum(layer.size for layer in layers),
        whole=any(layer.holds == "base" for layer in layers),
        layers=layers,
        attached={e.artifact_type or "": e.digest for e in referrers(layout, found)},
    )


def _bom() -> Bom:
    try:
        from onward.stages.deploy.adapters.cyclonedx import CycloneDx
    except ImportError:
        raise DeclarationError(
            "an image's bill of materials needs cyclonedx-python-lib, which is not installed",
            next_step="pip install 'onward[images]'",
        ) from None
    return CycloneDx()


def _base(settings: Settings, secrets: Secrets) -> Base:
    from onward.stages.deploy.image.base import LayoutBase, RootBase

    base = settings.deploy.base
    kind, _, place = base.partition(":")
    if kind == "root" and place:
        return RootBase(settings.folder / place)
    if kind == "oci" and place:
        path, _, tag = place.partition(":")
        return LayoutBase(settings.folder / path, tag)
    if "/" in base:
        from onward.app.registry import open_registry
        from onward.stages.deploy.adapters.registry import RegistryBase
        from onward.stages.deploy.oci.reference import parse

        return RegistryBase(open_registry(settings, secrets), parse(base))
    raise DeclarationError(
        f"[deploy] base is {base!r}" if base else "an image needs a base",
        expected="host/name@sha256:… (an image in a registry), oci:FOLDER:TAG (one in an OCI "
        "image layout) or root:PATH (a root file system, as a folder or a tar)",
        next_step="set [deploy] base in onward.toml",
    )


def _packages(settings: Settings) -> Packages:
    from onward.stages.deploy.adapters.installed import Installed
    from onward.stages.deploy.adapters.wheels import PipWheels

    if settings.deploy.environment == "installed":
        return Installed()
    folder = settings.deploy.wheels
    return PipWheels(settings.folder / Path(folder) if folder else None)
