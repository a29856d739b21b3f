"""What refers to an image: bills, statements, signatures, as artifacts with a subject.

By the OCI specifications 1.1: an artifact's manifest names the image as its ``subject``; where a
registry has no referrers API, an index under the tag ``sha256-<digest>`` lists them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from onward.stages.deploy.oci.descriptor import (
    EMPTY,
    INDEX,
    MANIFEST,
    Descriptor,
    canonical,
)
from onward.stages.deploy.oci.layout import Layout

_NOTHING: Final = b"{}"


def attach(layout: Layout, image: Descriptor, artifact_type: str, data: bytes) -> Descriptor:
    """Store `data` as an artifact about `image`, list it, and return its manifest's entry."""
    empty = layout.put(_NOTHING, EMPTY)
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": artifact_type,
        "config": empty.to_json(),
        "layers": [layout.put(data, artifact_type).to_json()],
        "subject": replace(image, annotations={}).to_json(),
    }
    stored = replace(layout.put(canonical(manifest), MANIFEST), artifact_type=artifact_type)
    layout.list_entry(stored)
    return stored


def referrers(layout: Layout, image: Descriptor) -> Sequence[Descriptor]:
    """Return the artifacts about an image, by type and digest."""
    found = [
        entry
        for entry in layout.entries()
        if entry.artifact_type is not None
        and layout.json(entry.digest).get("subject", {}).get("digest") == image.digest
    ]
    return sorted(found, key=lambda entry: (entry.artifact_type or "", entry.digest))


def content(layout: Layout, artifact: Descriptor) -> bytes:
    """Return what an artifact holds."""
    return layout.read(layout.json(artifact.digest)["layers"][0]["digest"])


def fallback_tag(image: Descriptor) -> str:
    """Return the tag of the index that lists an image's referrers."""
    return image.digest.replace(":", "-")


def fallback_index(found: Sequence[Descriptor]) -> bytes:
    """Return the index that lists referrers, for registries without the API."""
    listed = [replace(entry, annotations={}).to_json() for entry in found]
    return canonical({"schemaVersion": 2, "mediaType": INDEX, "manifests": listed})
