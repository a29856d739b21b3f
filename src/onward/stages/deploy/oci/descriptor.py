"""Descriptors: how one piece of an image names another, by type, digest and size."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

INDEX: Final = "application/vnd.oci.image.index.v1+json"
MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
CONFIG: Final = "application/vnd.oci.image.config.v1+json"
LAYER: Final = "application/vnd.oci.image.layer.v1.tar+gzip"
EMPTY: Final = "application/vnd.oci.empty.v1+json"

# What Docker called them before; a base may still be of these.
DOCKER_INDEX: Final = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST: Final = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LAYER: Final = "application/vnd.docker.image.rootfs.diff.tar.gzip"

REF_NAME: Final = "org.opencontainers.image.ref.name"
BASE_DIGEST: Final = "org.opencontainers.image.base.digest"
BASE_NAME: Final = "org.opencontainers.image.base.name"


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptor:
    """A blob's media type, digest (``sha256:…``) and size in bytes."""

    media_type: str
    digest: str
    size: int
    annotations: Mapping[str, str] = field(default_factory=dict)
    artifact_type: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the specification's JSON form."""
        found: dict[str, Any] = {
            "mediaType": self.media_type,
            "digest": self.digest,
            "size": self.size,
        }
        if self.artifact_type:
            found["artifactType"] = self.artifact_type
        if self.annotations:
            found["annotations"] = dict(self.annotations)
        return found

    @staticmethod
    def from_json(found: Mapping[str, Any]) -> Descriptor:
        """Read the specification's JSON form.

        Raises
        ------
        KeyError
            A field is missing.
        """
        return Descriptor(
            media_type=found["mediaType"],
            digest=found["digest"],
            size=found["size"],
            annotations=found.get("annotations") or {},
            artifact_type=found.get("artifactType"),
        )


def digest_of(data: bytes) -> str:
    """Return ``sha256:…`` of `data`."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def canonical(value: Any) -> bytes:
    """Return JSON with sorted keys and no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
