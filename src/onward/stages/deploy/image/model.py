"""The upper layers: the environment that was recorded, and the model with its gateway's config."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from onward.core.ports.masks import MASKS_ENTRY
from onward.core.records import ModelRef
from onward.stages.deploy.oci.descriptor import canonical
from onward.stages.deploy.oci.image import Image, Layer, add_layer
from onward.stages.deploy.oci.layer import files
from onward.stages.deploy.oci.layout import Layout

PART: Final = "dev.onward.layer"
"""The annotation that says what a layer holds: base, environment, onward, record or model."""

HOME: Final = "opt/onward"
CONFIG: Final = "etc/onward/gateway.json"
STATE: Final = "var/lib/onward"
PORT: Final = 8080
USER: Final = 65532  # nobody in particular, and not root

_RECORD: Final = ("environment.json", "requirements.txt")


def model_layers(layout: Layout, model: ModelRef) -> list[Layer]:
    """Store the record of the environment and the model as two layers."""
    trained = Path(model.path)
    found = {p.relative_to(trained).as_posix(): p for p in trained.rglob("*") if p.is_file()}
    record = {f"{HOME}/model/{name}": found[name] for name in _RECORD if name in found}
    placed: dict[str, bytes | Path] = {
        f"{HOME}/model/{name}": path for name, path in found.items() if name not in _RECORD
    }
    plan = json.loads(found["plan.json"].read_bytes())
    about = {
        "name": model.name,
        "version": model.version,
        "digest": model.digest,
        "task": plan["task"],
    }
    placed[f"{HOME}/model.json"] = canonical(about)
    placed[CONFIG] = canonical(gateway_config(plan))
    return [
        add_layer(
            layout,
            files(record),
            created_by="onward: the recorded environment",
            annotations={PART: "record"},
        ),
        add_layer(
            layout, files(placed), created_by="onward: the model", annotations={PART: "model"}
        ),
    ]


def gateway_config(plan: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration of the gateway within the image, in its JSON form."""
    config: dict[str, Any] = {
        "host": "0.0.0.0",  # noqa: S104 (a container's own network)
        "port": PORT,
        "model": f"/{HOME}",
        "state": f"/{STATE}",
        "predictions": f"/{STATE}/predictions",
    }
    if any(column.get("mask") for column in plan["plan"]["request"]):
        secrets = {"keyfile": f"/{STATE}/secrets.json", "folder": "/run/secrets"}
        config["masks"] = {"entry": MASKS_ENTRY, "arguments": secrets}
    return config


def execution(model: ModelRef, *, python: str) -> dict[str, Any]:
    """Return how the image is run: the gateway, with the interpreter `python`."""
    return {
        "Entrypoint": [python, "-m", "onward.stages.serve.gateway", "--config", f"/{CONFIG}"],
        "ExposedPorts": {f"{PORT}/tcp": {}},
        "WorkingDir": f"/{HOME}",
        "Labels": labels(model),
    }


def labels(model: ModelRef) -> dict[str, str]:
    """Return what the manifest and the labels say of the model."""
    return {
        "org.opencontainers.image.title": model.name,
        "org.opencontainers.image.version": str(model.version),
        "dev.onward.model.digest": f"sha256:{model.digest}",
    }


def name_of(image: Image) -> str | None:
    """Return ``model:version`` of an image that `labels` describes; None for others."""
    said = image.annotations
    title = said.get("org.opencontainers.image.title")
    return f"{title}:{said['org.opencontainers.image.version']}" if title else None


def tag(model: ModelRef) -> str:
    """Return the name under which a layout or a registry keeps the version's image."""
    return f"{model.name}:{model.version}"
