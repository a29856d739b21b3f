"""Writing an OCI image layout, bit for bit the same from the same files.

OCI Image Format Specification 1.1: `oci-layout`, `index.json`, ``blobs/sha256/…``. Tar entries
are sorted, owned by root and dated at the epoch; gzip carries no time; JSON keys are sorted.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
_CONFIG: Final = "application/vnd.oci.image.config.v1+json"
_LAYER: Final = "application/vnd.oci.image.layer.v1.tar+gzip"


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """Files by their path in the image's file system (no leading slash), and how they came."""

    files: Mapping[str, bytes]
    created_by: str


def write_layout(
    folder: Path,
    layers: Sequence[Layer],
    *,
    config: Mapping[str, Any],
    annotations: Mapping[str, str],
    tag: str,
) -> str:
    """Write the layout into `folder` (empty) and return the manifest's digest, ``sha256:…``.

    `config` is the image's execution parameters (``Entrypoint``, ``Labels``, …).
    """
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    tars = [_tar(layer.files) for layer in layers]
    packed = [gzip.compress(tar, compresslevel=6, mtime=0) for tar in tars]
    described = [_put(blobs, data, _LAYER) for data in packed]
    image_config = {
        "architecture": "amd64",
        "os": "linux",
        "created": "1970-01-01T00:00:00Z",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": [_digest(tar) for tar in tars]},
        "history": [
            {"created": "1970-01-01T00:00:00Z", "created_by": layer.created_by} for layer in layers
        ],
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": _MANIFEST,
        "config": _put(blobs, _json(image_config), _CONFIG),
        "layers": described,
        "annotations": annotations,
    }
    found = _put(blobs, _json(manifest), _MANIFEST)
    tagged = {**found, "annotations": {"org.opencontainers.image.ref.name": tag}}
    index = {"schemaVersion": 2, "manifests": [tagged]}
    (folder / "oci-layout").write_bytes(_json({"imageLayoutVersion": "1.0.0"}))
    (folder / "index.json").write_bytes(_json(index))
    return str(found["digest"])


def _tar(files: Mapping[str, bytes]) -> bytes:
    folders = {str(p) for name in files for p in PurePosixPath(name).parents} - {"."}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name in sorted(folders | files.keys()):
            entry = tarfile.TarInfo(name)
            if name in folders:
                entry.type, entry.mode = tarfile.DIRTYPE, 0o755
                tar.addfile(entry)
            else:
                entry.mode, entry.size = 0o644, len(files[name])
                tar.addfile(entry, io.BytesIO(files[name]))
    return buffer.getvalue()


def _put(blobs: Path, data: bytes, media_type: str) -> dict[str, Any]:
    digest = _digest(data)
    (blobs / digest.removeprefix("sha256:")).write_bytes(data)
    return {"mediaType": media_type, "digest": digest, "size": len(data)}


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
