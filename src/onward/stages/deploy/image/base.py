"""The base: an image in a layout, or a file system's root; and what is found in it."""

from __future__ import annotations

import posixpath
import re
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from email.parser import Parser
from pathlib import Path
from typing import Final

from onward.core.errors import DeclarationError, NotFoundError
from onward.stages.deploy.image.model import PART
from onward.stages.deploy.oci.image import Image, Layer, add_layer, read_image
from onward.stages.deploy.oci.layer import of_tar, of_tree
from onward.stages.deploy.oci.layout import Layout
from onward.stages.deploy.port import Component

_PYTHON: Final = re.compile(r"(?:^|/)bin/python(3\.\d+)$")
_DPKG: Final = re.compile(r"^var/lib/dpkg/status(?:\.d/[^/]+)?$")
_APK: Final = re.compile(r"^(?:usr/)?lib/apk/db/installed$")
_RELEASE: Final = re.compile(r"^(?:usr/lib|etc)/os-release$")


@dataclass(frozen=True, slots=True)
class LayoutBase:
    """An image in an OCI layout; `reference` is its tag or digest, or empty if it is alone."""

    folder: Path
    reference: str = ""
    name: str = ""

    def fetch(self, layout: Layout, *, platform: str) -> Image:
        """Copy the image's blobs; each is checked against its digest."""
        source = Layout(self.folder)
        entries = [e for e in source.entries() if e.artifact_type is None]
        if not self.reference and len(entries) == 1:
            found = entries[0]
        elif not entries:
            raise NotFoundError(
                f"{self.folder} holds no image",
                expected="an OCI image layout: oci-layout, index.json, blobs",
            )
        else:
            found = source.resolve(self.reference)
        image = read_image(source, found, platform=platform)
        manifest = source.json(image.descriptor.digest)
        for digest in (manifest["config"]["digest"], *(x.descriptor.digest for x in image.layers)):
            source.require(digest)
            layout.put_file(source.path(digest), "")
        layout.put_file(source.path(image.descriptor.digest), "")
        return as_base(image)


@dataclass(frozen=True, slots=True)
class RootBase:
    """A file system's root, as a folder or a tar."""

    path: Path
    name: str = ""

    def fetch(self, layout: Layout, *, platform: str) -> Image:
        """Make one layer of it."""
        if not self.path.exists():
            raise NotFoundError(f"there is no root file system {self.path}")
        entries = list(of_tree(self.path) if self.path.is_dir() else of_tar(self.path))
        layer = add_layer(
            layout, entries, created_by="onward: the root file system", annotations={PART: "base"}
        )
        return Image(
            descriptor=layer.descriptor,
            layers=(layer,),
            config={"Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]},
            platform=platform,
        )


def as_base(image: Image) -> Image:
    """Return the image with its layers marked as the base."""
    marked = [
        replace(x, descriptor=replace(x.descriptor, annotations={PART: "base"}))
        for x in image.layers
    ]
    return replace(image, layers=tuple(marked))


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """Interpreters by version (``3.11`` → path), and the packages that the base's system lists."""

    pythons: Mapping[str, str]
    components: tuple[Component, ...]


def inspect(layout: Layout, base: Image) -> Contents:
    """Look through the base's layers, from the bottom up."""
    pythons: dict[str, str] = {}
    packages: dict[str, tuple[Component, ...]] = {}
    distro = ""
    for layer in base.layers:
        layout.require(layer.descriptor.digest)
        for name, text in _told(layout, layer):
            found = _PYTHON.search(name)
            if found is not None:
                pythons.setdefault(found.group(1), f"/{name}")
            elif _RELEASE.match(name):
                distro = _distro(text) or distro
            else:
                listed = _apk(text) if _APK.match(name) else _dpkg(text)
                packages[name] = tuple(listed)  # an upper layer's list replaces a lower one's
    every = {(c.name, c.architecture): c for listed in packages.values() for c in listed}
    components = tuple(replace(every[name], distro=distro) for name in sorted(every))
    return Contents(pythons=pythons, components=components)


def require_python(found: Contents, version: str) -> str:
    """Return the path of the base's interpreter of this version.

    Raises
    ------
    DeclarationError
        The base has none: the model's pickles are made for one version.
    """
    if version not in found.pythons:
        there = ", ".join(f"python{v}" for v in sorted(found.pythons)) or "no Python"
        raise DeclarationError(
            f"the model was fitted with Python {version}; the base has {there}",
            expected=f"a base with bin/python{version}",
            next_step="choose another with [deploy] base in onward.toml, or train with its Python",
        )
    return found.pythons[version]


def _told(layout: Layout, layer: Layer) -> Iterator[tuple[str, str]]:
    with tarfile.open(layout.path(layer.descriptor.digest)) as tar:
        for member in tar:
            name = posixpath.normpath(member.name).lstrip("/")
            listed = any(known.match(name) for known in (_DPKG, _APK, _RELEASE))
            content = tar.extractfile(member) if listed and member.isreg() else None
            if content is not None:
                yield name, content.read().decode(errors="replace")
            elif _PYTHON.search(name):
                yield name, ""


def _dpkg(text: str) -> Iterator[Component]:
    for block in re.split(r"\n\s*\n", text.strip()):
        said = Parser().parsestr(block, headersonly=True)
        there = (said["Status"] or "installed").split()[-1] == "installed"  # or its files are left
        if said["Package"] and said["Version"] and there:
            yield Component(
                kind="deb",
                name=said["Package"],
                version=said["Version"],
                architecture=said["Architecture"] or "",
            )


def _distro(text: str) -> str:
    """Return the ``ID`` of an os-release file, such as ``debian``."""
    found = re.search(r"^ID=[\"']?([\w.-]+)", text, re.MULTILINE)
    return found[1] if found else ""


def _apk(text: str) -> Iterator[Component]:
    for block in text.strip().split("\n\n"):
        said = dict(line.split(":", 1) for line in block.splitlines() if ":" in line)
        if "P" in said and "V" in said:
            yield Component(
                kind="apk", name=said["P"], version=said["V"], architecture=said.get("A", "")
            )
