"""A Helm chart: the plain manifests, with what installations differ in as values."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, Final

from onward.core.version import VERSION
from onward.stages.deploy.adapters.kubernetes import as_yaml, manifests
from onward.stages.deploy.workload import Workload

_PLACE: Final = re.compile(r"'?<<(\.[\w.]+)>>'?")


class HelmTarget:
    """A chart whose templates insert values as JSON, which is YAML: no indentation to get wrong."""

    def render(self, workload: Workload) -> Mapping[str, str]:
        """Return the chart's files."""
        plain = manifests(workload)
        chart = {
            "apiVersion": "v2",
            "name": workload.name,
            "description": f"The gateway of model {workload.model}, by Onward",
            "type": "application",
            "version": f"{workload.runs.version}.0.0",
            "appVersion": str(workload.runs.version),
            "annotations": {"onward": VERSION},
        }
        files = {"Chart.yaml": as_yaml(chart), "values.yaml": as_yaml(_values(workload, plain))}
        for name, found in plain.items():
            files[f"templates/{name}.yaml"] = _template(_placed(found))
        return files

    def command(self, folder: Path, workload: Workload) -> Sequence[str]:
        """Return helm's command."""
        space = workload.wants.namespace
        where = ["--namespace", space, "--create-namespace"] if space else []
        return ["helm", "upgrade", "--install", workload.name, str(folder), *where]


def _values(workload: Workload, plain: Mapping[str, Any]) -> dict[str, Any]:
    pod = plain["deployment"]["spec"]["template"]["spec"]
    return {
        "image": workload.runs.image,
        "versions": {f"v{arm.version}": arm.image for arm in workload.versions},
        "routes": workload.routes,
        "gateway": plain["gateway"]["data"]["gateway.json"],
        "replicas": workload.wants.replicas,
        "maxReplicas": workload.wants.max_replicas,
        "resources": pod["containers"][0]["resources"],
        "tolerations": pod.get("tolerations", []),
        "affinity": pod.get("affinity", {}),
        "nodeSelector": {},
        "imagePullSecrets": [],
    }


def _placed(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return a manifest with places for values."""
    placed = deepcopy(dict(found))
    placed["metadata"].pop("namespace", None)  # the release's, by helm
    for where, key, value in _places(placed):
        where[key] = f"<<.Values.{value}>>"
    return placed


def _places(found: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str, str]]:
    kind, name, spec = found["kind"], found["metadata"]["name"], found.get("spec", {})
    if kind == "Deployment":
        pod = spec["template"]["spec"]
        for each in pod["initContainers"]:
            yield each, "image", f"versions.{each['name'].replace('version-', 'v')}"
        yield pod["containers"][0], "image", "image"
        yield pod["containers"][0], "resources", "resources"
        for key in ("tolerations", "affinity", "nodeSelector", "imagePullSecrets"):
            yield pod, key, key
        if "replicas" in spec:
            yield spec, "replicas", "replicas"
    elif kind == "HorizontalPodAutoscaler":
        yield spec, "minReplicas", "replicas"
        yield spec, "maxReplicas", "maxReplicas"
    elif kind == "ScaledObject":
        yield spec, "minReplicaCount", "replicas"
        yield spec, "maxReplicaCount", "maxReplicas"
    elif kind == "ConfigMap":
        [key] = found["data"]
        yield found["data"], key, "routes" if name.endswith("-routes") else "gateway"


def _template(placed: Mapping[str, Any]) -> str:
    return _PLACE.sub(r"{{ \1 | toJson }}", as_yaml(placed))
