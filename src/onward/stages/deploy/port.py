"""What deploying needs from outside: packages, bases, bills of material, signatures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from onward.core.records import ModelRef, RunRef
from onward.stages.deploy.image.lock import Lock
from onward.stages.deploy.oci.image import Image
from onward.stages.deploy.oci.layout import Layout
from onward.stages.deploy.workload import Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """Something that an image holds: a distribution, or a package of the base.

    `kind` is a package URL's type (``pypi``, ``deb``), `distro` its namespace where the base says
    which distribution it is, `sha256` the wheel's where there was one.
    """

    kind: str
    name: str
    version: str
    architecture: str = ""
    licence: str = ""
    sha256: str = ""
    distro: str = ""


class Packages(Protocol):
    """Installs distributions into a folder that becomes a layer."""

    def install(self, lock: Lock, target: Path, *, platform: str) -> Sequence[Component]:
        """Put every pinned distribution into `target` (importable as it is) and say what came.

        `platform` is ``os/architecture``.

        Raises
        ------
        UnavailableError
            A distribution cannot be had.
        """
        ...

    def same(self, lock: Lock, *, platform: str) -> str | None:
        """Return what names the result of `install`, where that is sure before; else None."""
        ...


class Base(Protocol):
    """Where the base layers come from. `name` says where, if others can find it there too."""

    @property
    def name(self) -> str: ...

    def fetch(self, layout: Layout, *, platform: str) -> Image:
        """Bring the base into `layout`, and return it.

        Raises
        ------
        NotFoundError
            There is no such base.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What a bill of materials and a provenance are about."""

    image: Image
    model: ModelRef
    lock: Lock
    components: Sequence[Component]
    made: Made


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """How a version came to be: the training, the run, the snapshots it was trained on."""

    trained: RunRef | None
    run: str | None


class Bom(Protocol):
    """Writes bills of materials."""

    media_type: str

    def write(self, subject: Subject) -> bytes:
        """Return the bill, the same bytes for the same subject."""
        ...


class Signer(Protocol):
    """Signs bytes, and checks signatures."""

    key_id: str

    def sign(self, data: bytes) -> bytes: ...

    def verify(self, data: bytes, signature: bytes) -> bool: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Workbench:
    """All that building an image takes.

    `extras` are distributions that the gateway needs besides: an online store's client.
    """

    base: Base
    packages: Packages
    bom: Bom
    signer: Signer | None
    platform: str = "linux/amd64"
    extras: tuple[str, ...] = ()


class Target(Protocol):
    """A place where the gateway's containers run."""

    def render(self, workload: Workload) -> Mapping[str, str]:
        """Return the files that describe the workload there, by path.

        Raises
        ------
        DeclarationError
            The place cannot do what is asked for.
        """
        ...

    def command(self, folder: Path, workload: Workload) -> Sequence[str]:
        """Return the command that puts the files in `folder` into effect."""
        ...
