"""Ray Serve: the gateway as a deployment whose replicas follow the project's own routes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from onward.core.errors import DeclarationError
from onward.stages.deploy.adapters.kubernetes import as_yaml
from onward.stages.deploy.workload import Workload

IMPORT_PATH: Final = "onward.stages.serve.adapters.ray_serve:application"
DEPLOYMENT: Final = "gateway"
PORT: Final = 8000
"""Serve's own, so that `onward up` may go on beside it."""

_WAITING: Final = 1024
_FACTORS: Final = {
    "": 1.0, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12,
    "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40,
}  # fmt: skip


class RayServeTarget:
    """One file: `serve deploy` makes a cluster serve what it says, and nothing else."""

    def render(self, workload: Workload) -> Mapping[str, str]:
        """Return Serve's config file."""
        told = {name: value for name, value in workload.config.items() if name != "parent"}
        made = {
            "http_options": {"host": told.get("host", "127.0.0.1"), "port": PORT},
            "applications": [
                {
                    "name": workload.name,
                    "route_prefix": "/",
                    "import_path": IMPORT_PATH,
                    "args": {"gateway": told},
                    "deployments": [_deployment(workload)],
                }
            ],
        }
        return {"serve.yaml": as_yaml(made)}

    def command(self, folder: Path, workload: Workload) -> Sequence[str]:  # noqa: ARG002 (the port's)
        """Return the command of Serve; it finds the cluster by ``RAY_DASHBOARD_ADDRESS``."""
        return ["serve", "deploy", str(folder / "serve.yaml")]


def _deployment(workload: Workload) -> dict[str, Any]:
    wants = workload.wants
    found: dict[str, Any] = {
        "name": DEPLOYMENT,
        # A replica bounds by itself what it takes on, and answers in one batch what has arrived.
        "max_ongoing_requests": workload.config.get("limits", {}).get("waiting", _WAITING),
        "graceful_shutdown_timeout_s": workload.config.get("drain_s", 5.0),
        "ray_actor_options": _resources(workload),
    }
    if wants.max_replicas == wants.replicas:
        return {**found, "num_replicas": wants.replicas}
    scaling = {"min_replicas": wants.replicas, "max_replicas": wants.max_replicas}
    return {**found, "autoscaling_config": scaling}


def _resources(workload: Workload) -> dict[str, float]:
    # Of memory Ray counts what is asked for, and takes none away.
    wants = workload.wants
    found = {"num_cpus": _number(wants.cpu), "memory": round(_number(wants.memory))}
    if isinstance(wants.gpu, str):
        raise DeclarationError(
            f"Ray gives out GPUs whole or by shares, and no slice {wants.gpu!r}",
            expected="gpu=1 with Ray Serve, or one of the other targets",
            location=wants.location,
        )
    return found if wants.gpu is None else {**found, "num_gpus": float(wants.gpu)}


def _number(quantity: str) -> float:
    """Return Kubernetes' quantity as a number: 500m is 0.5."""
    found = re.match(r"([\d.]+)(.*)", quantity)
    assert found is not None, "the declaration was checked"
    return float(found[1]) * _FACTORS[found[2]]
