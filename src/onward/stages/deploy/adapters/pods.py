"""A pod of the gateway: its containers, volumes, probes, and where it may run."""

from __future__ import annotations

from typing import Any, Final

from onward.stages.deploy.image.model import PORT, STATE
from onward.stages.deploy.workload import (
    CONFIG,
    COPY,
    MODELS,
    ROUTES,
    SECRETS,
    Arm,
    Workload,
)

AS_NOBODY: Final = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
    "capabilities": {"drop": ["ALL"]},
}
_COPYING: Final = {
    "requests": {"cpu": "100m", "memory": "64Mi"},
    "limits": {"memory": "256Mi"},
}

_WAITING: Final = "import time; time.sleep(5)"
"""Before a pod is told to end: callers come until every node knows that it is no endpoint any more,
and a gateway that drains takes no new connections.
"""

Part = dict[str, Any]


def selector(workload: Workload) -> dict[str, str]:
    """Return the labels that choose the workload's pods, whatever version they serve."""
    return {"app.kubernetes.io/name": workload.name, "app.kubernetes.io/component": "gateway"}


def labels(workload: Workload) -> dict[str, str]:
    """Return the labels of everything that belongs to the workload."""
    return {
        **selector(workload),
        "app.kubernetes.io/version": str(workload.runs.version),
        "app.kubernetes.io/part-of": "onward",
        "app.kubernetes.io/managed-by": "onward",
    }


def init_containers(workload: Workload) -> list[Part]:
    """Return a container for each version, which copies its model out of its image."""
    return [_copying(arm) for arm in workload.versions]


def _copying(arm: Arm) -> Part:
    return {
        "name": f"version-{arm.version}",
        "image": arm.image,
        "command": [arm.python, "-c", COPY, arm.folder],
        "securityContext": AS_NOBODY,
        "resources": _COPYING,
        "volumeMounts": [{"name": "models", "mountPath": MODELS}],
    }


def main_container(workload: Workload) -> Part:
    """Return the gateway's container."""
    wants, arm = workload.wants, workload.runs
    mounts: list[Part] = [
        {"name": "models", "mountPath": MODELS, "readOnly": True},
        {"name": "gateway", "mountPath": CONFIG, "subPath": "gateway.json", "readOnly": True},
        {"name": "routes", "mountPath": ROUTES, "readOnly": True},
        {"name": "state", "mountPath": f"/{STATE}"},
        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 (the container's own)
    ]
    container: Part = {
        "name": "gateway",
        "image": arm.image,
        "ports": [{"name": "http", "containerPort": PORT, "protocol": "TCP"}],
        "securityContext": AS_NOBODY,
        "resources": resources(workload),
        "startupProbe": {**probe(f"/v2/models/{workload.model}/ready", 2), "failureThreshold": 90},
        "readinessProbe": probe(f"/v2/models/{workload.model}/ready", 5),
        "livenessProbe": {**probe("/v2/health/live", 10), "failureThreshold": 6},
        "lifecycle": {"preStop": {"exec": {"command": [arm.python, "-c", _WAITING]}}},
        "volumeMounts": mounts,
    }
    if wants.log is not None:
        name = {"fieldRef": {"fieldPath": "metadata.name"}}
        container["env"] = [{"name": "POD_NAME", "valueFrom": name}]
        # Each pod has a folder of its own: logs have one writer.
        mounts.append({"name": "log", "mountPath": f"/{STATE}/predictions",
                       "subPathExpr": "$(POD_NAME)"})  # fmt: skip
    if wants.secrets is not None:
        mounts.append({"name": "secrets", "mountPath": SECRETS, "readOnly": True})
    return container


def resources(workload: Workload) -> Part:
    """Return what a pod asks for, and the most that it gets."""
    wants = workload.wants
    limits: Part = {"memory": wants.memory}
    if isinstance(wants.gpu, int):
        limits["nvidia.com/gpu"] = wants.gpu
    elif wants.gpu is not None:
        limits[f"nvidia.com/{wants.gpu}"] = 1
    return {"requests": {"cpu": wants.cpu, "memory": wants.memory}, "limits": limits}


def probe(path: str, every: int) -> Part:
    """Return a question to the gateway, `every` so many seconds."""
    return {
        "httpGet": {"path": path, "port": "http"},
        "periodSeconds": every,
        "timeoutSeconds": 2,
    }


def volumes(workload: Workload) -> list[Part]:
    """Return the pod's volumes; what a pod keeps for itself goes with it."""
    wants = workload.wants
    found: list[Part] = [
        {"name": "models", "emptyDir": {}},
        {"name": "state", "emptyDir": {}},
        {"name": "tmp", "emptyDir": {}},
        {"name": "gateway", "configMap": {"name": f"{workload.name}-gateway"}},
        {"name": "routes", "configMap": {"name": f"{workload.name}-routes"}},
    ]
    if wants.log is not None:
        claim = {"claimName": f"{workload.name}-log"}
        found.append({"name": "log", "persistentVolumeClaim": claim})
    if wants.secrets is not None:
        secret = {"secretName": wants.secrets, "defaultMode": 0o440}
        found.append({"name": "secrets", "secret": secret})
    return found


def tolerations(workload: Workload) -> list[Part]:
    """Bear the taints of nodes with GPUs and of nodes that may go, where such are asked for."""
    found: list[Part] = []
    if workload.wants.gpu is not None:
        found.append({"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"})
    if workload.wants.spot is not None:
        key, value = workload.wants.spot
        found.append({"key": key, "operator": "Equal", "value": value, "effect": "NoSchedule"})
    return found


def affinity(spot: tuple[str, str]) -> Part:
    """Prefer nodes that may go at any time, for they cost less."""
    key, value = spot
    chosen = {"matchExpressions": [{"key": key, "operator": "In", "values": [value]}]}
    preferred = [{"weight": 100, "preference": chosen}]
    return {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}}
