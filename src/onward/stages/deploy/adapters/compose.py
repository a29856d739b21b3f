"""A Docker Compose file, for one machine with an engine."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from onward.stages.deploy.adapters.kubernetes import as_yaml
from onward.stages.deploy.image.model import PORT, STATE, USER
from onward.stages.deploy.workload import CONFIG, COPY, MODELS, ROUTES, Arm, Workload

_ASKING: Final = (
    "import urllib.request as u; u.urlopen('http://127.0.0.1:{port}/v2/models/{model}/ready')"
)
_UNITS: Final = {"Ki": "k", "Mi": "m", "Gi": "g"}


class ComposeTarget:
    """The gateway, and a service for each version that brings its model."""

    def render(self, workload: Workload) -> Mapping[str, str]:
        """Return ``compose.yaml`` and the files that it mounts."""
        copying = {f"version-{arm.version}": _copying(arm) for arm in workload.versions}
        made = {
            "name": workload.name,
            "services": {**copying, "gateway": _gateway(workload, list(copying))},
            "volumes": {"models": {}, "state": {}},
        }
        return {
            "compose.yaml": as_yaml(made),
            "gateway.json": json.dumps(workload.config, sort_keys=True),
            f"routes/{workload.model}.json": workload.routes,
        }

    def command(self, folder: Path, workload: Workload) -> Sequence[str]:  # noqa: ARG002 (the port's)
        """Return docker's command."""
        file = str(folder / "compose.yaml")
        return ["docker", "compose", "--file", file, "up", "--detach", "--wait", "gateway"]


def _confined() -> dict[str, Any]:
    return {
        "user": f"{USER}:{USER}",
        "read_only": True,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
    }


def _copying(arm: Arm) -> dict[str, Any]:
    return {
        "image": arm.image,
        "entrypoint": [arm.python, "-c", COPY, arm.folder],
        **_confined(),
        "user": "0:0",  # the volume is root's until something is in it
        "volumes": [{"type": "volume", "source": "models", "target": MODELS}],
    }


def _gateway(workload: Workload, copying: Sequence[str]) -> dict[str, Any]:
    wants, arm = workload.wants, workload.runs
    asking = _ASKING.format(port=PORT, model=workload.model)
    service: dict[str, Any] = {
        "image": arm.image,
        "labels": {"onward.gateway": workload.told},
        **_confined(),
        "restart": "unless-stopped",
        "depends_on": {n: {"condition": "service_completed_successfully"} for n in copying},
        "ports": [f"127.0.0.1:{PORT}:{PORT}"],
        "tmpfs": ["/tmp"],  # noqa: S108 (the container's own)
        "volumes": [
            {"type": "volume", "source": "models", "target": MODELS, "read_only": True},
            {"type": "volume", "source": "state", "target": f"/{STATE}"},
            {"type": "bind", "source": "./gateway.json", "target": CONFIG, "read_only": True},
            {"type": "bind", "source": "./routes", "target": ROUTES, "read_only": True},
        ],
        "healthcheck": {
            "test": ["CMD", arm.python, "-c", asking],
            "interval": "5s",
            "timeout": "3s",
            "start_period": "120s",
        },
        "mem_limit": _memory(wants.memory),
        "stop_grace_period": "30s",
    }
    if wants.gpu is not None:
        count = wants.gpu if isinstance(wants.gpu, int) else 1
        device = {"driver": "nvidia", "count": count, "capabilities": ["gpu"]}
        service["deploy"] = {"resources": {"reservations": {"devices": [device]}}}
    return service


def _memory(quantity: str) -> str:
    """Return Kubernetes' quantity as Docker writes it: 1Gi is 1g."""
    return quantity[:-2] + _UNITS[quantity[-2:]] if quantity[-2:] in _UNITS else quantity.lower()
