"""Package a registered model as an image, and let the image prove itself on staging."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Final

from onward.core import digest
from onward.core.ports import Servers
from onward.core.ports.masks import MASKS_ENTRY
from onward.core.records import Deployment, ImageRef, ModelRef
from onward.stages.deploy.acceptance import Staged, checks
from onward.stages.deploy.config import Latency
from onward.stages.deploy.layout import Layer, write_layout

_ENVIRONMENT: Final = ("environment.json", "requirements.txt")
_MODEL: Final = "opt/onward/model"
_CONFIG: Final = "etc/onward/gateway.json"


def package(model: ModelRef, *, folder: Path) -> ImageRef:
    """Make the model's OCI image layout under `folder`, named by model, version and digest.

    The same model gives the same digest, and a second call finds the first one's image. The
    layers hold the recorded environment and the model; the base (Python with that environment
    installed) comes from whoever builds a container of it.

    Raises
    ------
    CorruptError
        The trained folder is not what was registered.
    """
    trained = Path(model.path)
    digest.require(trained, model.digest, model.ref)
    folder.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=folder, prefix=".packaging-"))
    try:
        found = write_layout(
            scratch,
            _layers(model, trained),
            config={
                "Entrypoint": [
                    "python", "-m", "onward.stages.serve.gateway", "--config", f"/{_CONFIG}",
                ],
                "ExposedPorts": {"8080/tcp": {}},
                "WorkingDir": "/opt/onward",
                "Labels": _annotations(model),
            },
            annotations=_annotations(model),
            tag=f"{model.name}:{model.version}",
        )  # fmt: skip
        layout = folder / f"{model.name}-{model.version}-{found.removeprefix('sha256:')[:16]}"
        if not layout.is_dir():
            scratch.chmod(0o755)
            _sync(scratch)
            scratch.rename(layout)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return ImageRef(name=model.name, digest=found, layout=str(layout), model=model)


def accept(
    image: ImageRef, *, servers: Servers, acceptance: tuple[Latency, ...], folder: Path
) -> Deployment:
    """Start the image on staging, hold it to every check, and stop it again, whatever happened.

    Raises
    ------
    OnwardError
        Staging did not start.
    """
    server = servers.start_staging(image, folder)
    try:
        results = checks(Staged(server.url, image), acceptance)
    finally:
        server.stop()
    return Deployment(
        environment="staging",
        image=image,
        passed=all(result.passed for result in results),
        checks=results,
    )


def _layers(model: ModelRef, trained: Path) -> list[Layer]:
    files = {
        path.relative_to(trained).as_posix(): path.read_bytes()
        for path in sorted(trained.rglob("*"))
        if path.is_file()
    }
    placed = {name: (f"{_MODEL}/{name}", data) for name, data in files.items()}
    about = {
        "name": model.name,
        "version": model.version,
        "digest": model.digest,
        "task": json.loads(files["plan.json"])["task"],
    }
    gateway = {
        "host": "0.0.0.0",  # noqa: S104 (a container's own network)
        "port": 8080,
        "model": "/opt/onward",
        "state": "/var/lib/onward",
        "predictions": "/var/lib/onward/predictions",
    }
    if any(column.get("mask") for column in json.loads(files["plan.json"])["plan"]["request"]):
        secrets = {"keyfile": "/var/lib/onward/secrets.json", "folder": "/run/secrets"}
        gateway["masks"] = {"entry": MASKS_ENTRY, "arguments": secrets}
    return [
        Layer(
            files=dict(placed[name] for name in _ENVIRONMENT if name in placed),
            created_by="onward: the recorded environment",
        ),
        Layer(
            files={
                **dict(pair for name, pair in placed.items() if name not in _ENVIRONMENT),
                "opt/onward/model.json": json.dumps(about, sort_keys=True).encode(),
                _CONFIG: json.dumps(gateway, sort_keys=True).encode(),
            },
            created_by="onward: the model",
        ),
    ]


def _annotations(model: ModelRef) -> dict[str, str]:
    return {
        "org.opencontainers.image.title": model.name,
        "org.opencontainers.image.version": str(model.version),
        "org.opencontainers.image.ref.name": f"{model.name}:{model.version}",
        "dev.onward.model.digest": f"sha256:{model.digest}",
    }


def _sync(folder: Path) -> None:
    """Bring the layout to the disk before its name says that it is whole."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
