"""A project's registry: pushing images to it, pulling them from any."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from onward.app.secrets import filling, open_project_secrets
from onward.app.settings.sections import Settings
from onward.core.errors import DeclarationError
from onward.core.ports import Secret, Secrets

if TYPE_CHECKING:
    from onward.app.project import Project
    from onward.stages.deploy.adapters.registry import Pushed, Registry
    from onward.stages.deploy.oci.image import Image
    from onward.stages.deploy.oci.reference import Reference


def open_registry(settings: Settings, secrets: Secrets) -> Registry:
    """Return how registries are reached, by ``[deploy]``."""
    from onward.stages.deploy.adapters.registry import Registry
    from onward.stages.deploy.adapters.registry_client import Access

    chosen = settings.deploy
    password = filling(secrets)(chosen.password)
    access = Access(
        insecure=chosen.insecure,
        ca=str(settings.folder / chosen.ca) if chosen.ca else None,
        username=chosen.username,
        password=Secret(password) if password else None,
    )
    return Registry(access)


def push(project: Project, reference: str, to: str | None = None) -> tuple[Reference, Pushed]:
    """Push an image, by ``model:version`` or digest, and return where it went.

    Raises
    ------
    DeclarationError
        Neither `to` nor ``[deploy] registry`` says where.
    """
    from onward.app.images import find, open_layout
    from onward.stages.deploy.oci.image import read_image
    from onward.stages.deploy.oci.reference import parse

    layout = open_layout(project.settings)
    found = find(layout, reference)
    image = read_image(layout, found)
    target = parse(to) if to else pushed_as(project.settings, image)
    registry = open_registry(project.settings, open_project_secrets(project.settings))
    plain = replace(found, annotations={})
    return target, registry.push(layout, plain, target, share=_base_of(image, target))


def pull(project: Project, reference: str) -> str:
    """Pull an image into the project's layout and return its digest."""
    from onward.app.images import open_layout
    from onward.stages.deploy.image.model import name_of
    from onward.stages.deploy.oci.image import read_image
    from onward.stages.deploy.oci.reference import parse

    layout = open_layout(project.settings)
    registry = open_registry(project.settings, open_project_secrets(project.settings))
    source = parse(reference)
    found = registry.pull(layout, source, platform=project.settings.deploy.platform)
    name = name_of(read_image(layout, found)) or str(replace(source, digest=None))
    layout.list_entry(found, tag=name)
    return found.digest


def pushed_as(settings: Settings, image: Image) -> Reference:
    """Return where ``[deploy] registry`` has an image: a repository a model, a tag a version.

    Raises
    ------
    DeclarationError
        No registry is set.
    """
    from onward.stages.deploy.image.model import name_of
    from onward.stages.deploy.oci.reference import repository

    if not settings.deploy.registry:
        raise DeclarationError(
            "it is not said which registry the image goes to",
            expected="host/path, where your images are kept",
            next_step="set [deploy] registry in onward.toml; a single push may name one with --to",
        )
    model, _, version = (name_of(image) or "").partition(":")
    return replace(repository(settings.deploy.registry, model), tag=version)


def _base_of(image: Image, target: Reference) -> tuple[str, ...]:
    """Return the base's repository, if it is in the same registry: its layers are there."""
    from onward.stages.deploy.oci.descriptor import BASE_NAME
    from onward.stages.deploy.oci.reference import parse

    named = image.annotations.get(BASE_NAME)
    base = parse(named) if named else None
    return (base.name,) if base is not None and base.host == target.host else ()
