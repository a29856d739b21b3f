"""Reading an OCI image layout: every blob is checked against its digest before it is used."""

from __future__ import annotations

import hashlib
import json
import tarfile
import tempfile
from pathlib import Path
from typing import Any, Final

from onward.core.errors import CorruptError
from onward.core.records import ImageRef
from onward.stages.serve.gateway.settings import GatewayConfig

MODEL_FOLDER: Final = "opt/onward/model"
"""Where, in the image's file system, the trained folder lies; `model.json` is beside it."""

_LAYER: Final = "dev.onward.layer"
_OURS: Final = ("record", "model")


def home(image: ImageRef, cache: Path) -> Path:
    """Return the folder with the image's ``model.json``: as it is, or unpacked under `cache`.

    Raises
    ------
    CorruptError
        The layout is not one, or a blob is not what its digest says.
    """
    there = Path(image.layout)
    if (there / "model.json").is_file():
        return there
    return (unpack(image, cache) / MODEL_FOLDER).parent


def unpack(image: ImageRef, cache: Path) -> Path:
    """Return the model's layers as a folder under `cache`, unpacked once per digest.

    Base and environment are left packed: this process has its own.

    Raises
    ------
    CorruptError
        The layout is not one, or a blob is not what its digest says.
    """
    root = cache / image.digest.removeprefix("sha256:")
    layers = [
        _blob(image, found["digest"])
        for found in _manifest(image)["layers"]
        if found.get("annotations", {}).get(_LAYER) in _OURS
    ]
    if root.is_dir():
        return root
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix=".unpacking-") as scratch:
        made = Path(scratch) / "root"
        made.mkdir()
        for layer in layers:
            try:
                with tarfile.open(layer) as tar:
                    tar.extractall(made, filter="data")
            except (tarfile.TarError, EOFError) as error:
                raise CorruptError(f"layer {layer.name[:16]} of {image.name}: {error}") from None
        try:
            made.rename(root)
        except OSError:
            if not root.is_dir():  # else another process unpacked the same image first
                raise
    return root


def _manifest(image: ImageRef) -> dict[str, Any]:
    layout = Path(image.layout)
    try:
        index = json.loads((layout / "index.json").read_bytes())
        digests = [m["digest"] for m in index["manifests"]]
    except (OSError, ValueError, KeyError, TypeError):
        raise CorruptError(
            f"{layout} is no OCI image layout",
            expected="a readable index.json with a list of manifests",
            next_step="package the model again: `onward run`",
        ) from None
    if image.digest not in digests:
        raise CorruptError(
            f"{layout} does not hold image {image.digest}", expected=f"one of {digests}"
        )
    found: dict[str, Any] = json.loads(_blob(image, image.digest).read_bytes())
    _blob(image, found["config"]["digest"])
    return found


def _blob(image: ImageRef, digest: str) -> Path:
    algorithm, _, name = digest.partition(":")
    path = Path(image.layout) / "blobs" / algorithm / name
    if algorithm != "sha256" or not path.is_file():
        raise CorruptError(
            f"image {image.name} lacks blob {digest}", next_step="package the model again"
        )
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != name:
        raise CorruptError(
            f"blob {digest[:19]}… of image {image.name} was altered",
            expected=f"sha256 {name[:16]}…, found {found[:16]}…",
            next_step="package the model again: `onward run`",
        )
    return path


def cache_of(config: GatewayConfig) -> Path:
    """Return where images are unpacked; several workers share it."""
    return Path(config.state) / "unpacked"
