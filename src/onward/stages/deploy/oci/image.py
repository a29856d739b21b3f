"""Images: layers under a manifest and a config, in a layout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from onward.core.errors import CorruptError, NotFoundError
from onward.stages.deploy.oci.descriptor import (
    CONFIG,
    DOCKER_INDEX,
    DOCKER_LAYER,
    DOCKER_MANIFEST,
    INDEX,
    LAYER,
    MANIFEST,
    Descriptor,
    canonical,
)
from onward.stages.deploy.oci.layer import Entry, diff_id, write
from onward.stages.deploy.oci.layout import Layout

EPOCH: Final = "1970-01-01T00:00:00Z"


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A layer in a layout. `diff_id` is the digest of its tar before compression."""

    descriptor: Descriptor
    diff_id: str
    created_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image in a layout: its layers from the bottom up, and how it is run.

    `platform` is ``os/architecture``, `config` the execution parameters (``Entrypoint``, …).
    """

    descriptor: Descriptor
    layers: tuple[Layer, ...]
    config: Mapping[str, Any] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    platform: str = "linux/amd64"


def add_layer(
    layout: Layout,
    entries: Sequence[Entry],
    *,
    created_by: str,
    annotations: Mapping[str, str],
) -> Layer:
    """Make a layer and store it; one whose content is there already is not compressed again."""
    found = diff_id(entries)
    there = _known(layout).get(found)
    if there is None or not layout.claim(there.digest):
        written: list[Descriptor] = []
        with layout.writing(written) as file:
            write(entries, file)
        there = replace(written[0], media_type=LAYER)
    descriptor = replace(there, annotations=annotations)
    return Layer(descriptor=descriptor, diff_id=found, created_by=created_by)


def add_image(
    layout: Layout,
    layers: Sequence[Layer],
    *,
    config: Mapping[str, Any],
    annotations: Mapping[str, str],
    platform: str,
) -> Descriptor:
    """Store an image of these layers; its entry is not in the index yet."""
    system, _, architecture = platform.partition("/")
    content = {
        "architecture": architecture,
        "os": system,
        "created": EPOCH,
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
        "history": [{"created": EPOCH, "created_by": layer.created_by} for layer in layers],
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": layout.put(canonical(content), CONFIG).to_json(),
        "layers": [layer.descriptor.to_json() for layer in layers],
        "annotations": dict(annotations),
    }
    return layout.put(canonical(manifest), MANIFEST)


def read_image(layout: Layout, descriptor: Descriptor, *, platform: str | None = None) -> Image:
    """Read an image; of an index of several platforms, that of `platform`.

    Raises
    ------
    CorruptError
        A manifest or a config is missing, altered, or none.
    NotFoundError
        The index has no image for the platform.
    """
    manifest = layout.json(descriptor.digest)
    if descriptor.media_type in (INDEX, DOCKER_INDEX):
        return read_image(layout, of_platform(manifest, platform or "linux/amd64"))
    try:
        config = layout.json(manifest["config"]["digest"])
        described = [Descriptor.from_json(found) for found in manifest["layers"]]
        diffs = config["rootfs"]["diff_ids"]
        made = [h for h in config.get("history", ()) if not h.get("empty_layer")]
        by = [h.get("created_by", "") for h in made] + [""] * (len(diffs) - len(made))
        return Image(
            descriptor=descriptor,
            layers=tuple(
                Layer(descriptor=_named(layer), diff_id=diff, created_by=how)
                for layer, diff, how in zip(described, diffs, by[: len(diffs)], strict=True)
            ),
            config=config.get("config") or {},
            annotations=manifest.get("annotations") or {},
            platform=f"{config['os']}/{config['architecture']}",
        )
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptError(
            f"{descriptor.digest[:19]}… in {layout.folder} is no image: {error!r}",
            expected="a manifest with a config and layers",
        ) from None


def of_platform(index: Mapping[str, Any], platform: str) -> Descriptor:
    """Return the entry of an index for ``os/architecture``.

    Raises
    ------
    NotFoundError
        There is none.
    """
    listed = [
        (f"{p.get('os')}/{p.get('architecture')}", found)
        for found in index["manifests"]
        if (p := found.get("platform") or {}).get("os") != "unknown"
    ]
    for name, found in listed:
        if name == platform:
            return Descriptor.from_json(found)
    raise NotFoundError(
        f"the base has no image for {platform}",
        expected=f"one of {', '.join(name for name, _ in listed)}",
        next_step="choose with [deploy] platform in onward.toml",
    )


def _known(layout: Layout) -> dict[str, Descriptor]:
    """Return the layers of the layout's images, by diff id."""
    return {
        layer.diff_id: layer.descriptor
        for entry in layout.entries()
        if is_image(entry)
        for layer in read_image(layout, entry).layers
        if layer.descriptor.media_type == LAYER and layout.has(layer.descriptor.digest)
    }


def is_image(entry: Descriptor) -> bool:
    """Return whether an index's entry is an image, and no artifact that refers to one."""
    return entry.artifact_type is None and entry.media_type in (MANIFEST, DOCKER_MANIFEST)


def _named(layer: Descriptor) -> Descriptor:
    """Return a layer by its OCI name: the bytes are the same."""
    return replace(layer, media_type=LAYER) if layer.media_type == DOCKER_LAYER else layer
