"""The middle layers: the distributions that serving needs, and Onward itself."""

from __future__ import annotations

import json
import tarfile
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

from onward.core.version import VERSION
from onward.stages.deploy.image.lock import Lock
from onward.stages.deploy.image.model import HOME, PART, STATE, USER
from onward.stages.deploy.oci.descriptor import canonical
from onward.stages.deploy.oci.image import Layer, add_layer, is_image, read_image
from onward.stages.deploy.oci.layer import Entry, files, folder
from onward.stages.deploy.oci.layout import Layout
from onward.stages.deploy.port import Component, Packages

LIBRARY: Final = f"{HOME}/lib"
RECORD: Final = f"{HOME}/environment.lock.json"
SAME: Final = "dev.onward.environment"


def environment_layer(
    layout: Layout, lock: Lock, packages: Packages, *, platform: str
) -> tuple[Layer, Sequence[Component]]:
    """Store the distributions as a layer, or find the layer of an earlier image that has them."""
    same = packages.same(lock, platform=platform)
    there = _earlier(layout, same) if same else None
    if there is not None:
        return there, _components(layout, there)
    with tempfile.TemporaryDirectory(prefix="onward-environment-") as scratch:
        root = Path(scratch)
        components = packages.install(lock, root, platform=platform)
        entries = [
            Entry(
                name=f"{LIBRARY}/{path.relative_to(root).as_posix()}",
                content=path,
                mode=0o755 if path.suffix in ("", ".so") and _executable(path) else 0o644,
            )
            for path in sorted(root.rglob("*"))
            if path.is_file()
        ]
        listed = canonical([asdict(component) for component in components])
        layer = add_layer(
            layout,
            [*entries, Entry(name=RECORD, content=listed)],
            created_by="onward: the environment",
            annotations={PART: "environment", **({SAME: same} if same else {})},
        )
    return layer, components


def onward_layer(layout: Layout) -> Layer:
    """Store the Onward that is running, and the folder in which the gateway keeps its state."""
    package = Path(__file__).parents[3]
    code: dict[str, bytes | Path] = {
        f"{LIBRARY}/onward/{path.relative_to(package).as_posix()}": path
        for path in sorted(package.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }
    state = [folder(STATE, owner=USER), folder(f"{STATE}/predictions", owner=USER)]
    return add_layer(
        layout,
        [*files(code), *state],
        created_by=f"onward: {VERSION}",
        annotations={PART: "onward"},
    )


def _executable(path: Path) -> bool:
    return bool(path.stat().st_mode & 0o100)


def _earlier(layout: Layout, same: str) -> Layer | None:
    for entry in layout.entries():
        for layer in read_image(layout, entry).layers if is_image(entry) else ():
            if layer.descriptor.annotations.get(SAME) == same:
                layout.require(layer.descriptor.digest)
                return layer
    return None


def _components(layout: Layout, layer: Layer) -> Sequence[Component]:
    """Read what a layer holds: the record is the first file in it."""
    with tarfile.open(layout.path(layer.descriptor.digest)) as tar:
        for member in tar:
            content = tar.extractfile(member) if member.name == RECORD else None
            if content is not None:
                return [Component(**found) for found in json.load(content)]
    return ()
