"""KServe's InferenceService: the newest image as a custom predictor, its canary by KServe."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from onward.core.errors import DeclarationError
from onward.stages.deploy.adapters.kubernetes import (
    applying,
    as_yaml,
    config_map,
    resource,
)
from onward.stages.deploy.adapters.pods import AS_NOBODY, affinity, probe, resources, tolerations
from onward.stages.deploy.image.model import HOME, PORT, STATE
from onward.stages.deploy.workload import CONFIG, SECRETS, Workload


class KServeTarget:
    """One resource and what the gateway is told; KServe makes the rest of it.

    The image serves the model that it holds. While a release is under way its candidate is the
    predictor, with its share as ``canaryTrafficPercent``: KServe keeps the revision before for the
    rest. Which caller gets which is by chance there, and not sticky.
    """

    def render(self, workload: Workload) -> Mapping[str, str]:
        """Return the InferenceService's file."""
        if workload.wants.log is not None:
            raise DeclarationError(
                "KServe's pods do not share a volume for the prediction log",
                expected="log=None with KServe, or one of the other targets",
                location=workload.wants.location,
            )
        if len(workload.versions) > 2:
            raise DeclarationError(
                f"KServe divides traffic between two revisions, not {len(workload.versions)}",
                expected="a release with one candidate, or one of the other targets",
                location=workload.wants.location,
            )
        own = {name: v for name, v in workload.config.items() if name != "routes"}
        config = json.dumps({**own, "model": f"/{HOME}"}, sort_keys=True)
        told = config_map(workload, "gateway", {"gateway.json": config})
        return {
            "gateway.yaml": as_yaml(told),
            "inference-service.yaml": as_yaml(_service(workload)),
        }

    def command(self, folder: Path, workload: Workload) -> Sequence[str]:
        """Return kubectl's command."""
        return applying(workload, str(folder))


def _service(workload: Workload) -> dict[str, Any]:
    wants, arm = workload.wants, workload.runs
    path = f"/v2/models/{workload.model}/ready"
    container: dict[str, Any] = {
        "name": "kserve-container",
        "image": arm.image,
        "ports": [{"name": "http1", "containerPort": PORT, "protocol": "TCP"}],
        "securityContext": AS_NOBODY,
        "resources": resources(workload),
        "readinessProbe": {**probe(path, 5), "httpGet": {"path": path, "port": PORT}},
        "volumeMounts": [
            {"name": "gateway", "mountPath": CONFIG, "subPath": "gateway.json", "readOnly": True},
            {"name": "state", "mountPath": f"/{STATE}"},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 (the container's own)
        ],
    }
    predictor: dict[str, Any] = {
        "annotations": {"onward/gateway": workload.told},  # other words are another revision
        "minReplicas": wants.replicas,
        "maxReplicas": wants.max_replicas,
        "automountServiceAccountToken": False,
        "containers": [container],
        "volumes": [
            {"name": "gateway", "configMap": {"name": f"{workload.name}-gateway"}},
            {"name": "state", "emptyDir": {}},
            {"name": "tmp", "emptyDir": {}},
        ],
    }
    if len(workload.versions) > 1:
        predictor["canaryTrafficPercent"] = round(arm.route.percent)
    if wants.secrets is not None:
        mount = {"name": "secrets", "mountPath": SECRETS, "readOnly": True}
        container["volumeMounts"].append(mount)
        predictor["volumes"].append({"name": "secrets", "secret": {"secretName": wants.secrets}})
    if wants.spot is not None or wants.gpu is not None:
        predictor["tolerations"] = tolerations(workload)
    if wants.spot is not None:
        predictor["affinity"] = affinity(wants.spot)
    return resource(
        workload, "InferenceService", "serving.kserve.io/v1beta1", {"predictor": predictor}
    )
