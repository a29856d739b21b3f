"""Plain Kubernetes manifests."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from onward.stages.deploy.adapters.pods import (
    affinity,
    init_containers,
    labels,
    main_container,
    selector,
    tolerations,
    volumes,
)
from onward.stages.deploy.image.model import PORT, USER
from onward.stages.deploy.workload import Workload

Manifest = dict[str, Any]


class _WithoutAnchors(yaml.SafeDumper):  # type: ignore[misc]  # it has no stubs
    """Writes what is there twice twice: people read these files."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 (yaml's name)
        return True


class KubernetesTarget:
    """A Deployment, and what makes it safe to rely on: one file a resource."""

    def render(self, workload: Workload) -> Mapping[str, str]:
        """Return the manifests' files."""
        return {f"{name}.yaml": as_yaml(found) for name, found in manifests(workload).items()}

    def command(self, folder: Path, workload: Workload) -> Sequence[str]:
        """Return kubectl's command. What pods are told goes first: a pod that started before it
        came would have the old file for as long as it lives.
        """
        told = [str(folder / "gateway.yaml"), str(folder / "routes.yaml")]
        return applying(workload, *told, str(folder))


def applying(workload: Workload, *files: str) -> Sequence[str]:
    """Return kubectl's command for files and folders, in their order."""
    where = ["--namespace", workload.wants.namespace] if workload.wants.namespace else []
    return ["kubectl", "apply", *where, *(f"--filename={file}" for file in files)]


def manifests(workload: Workload) -> dict[str, Manifest]:
    """Return the manifests by the name of their file."""
    wants = workload.wants
    made = {
        "gateway": config_map(workload, "gateway", {"gateway.json": _json(workload.config)}),
        "routes": config_map(workload, "routes", {f"{workload.model}.json": workload.routes}),
        "deployment": deployment(workload),
        "service": _service(workload),
        "disruption": _disruption_budget(workload),
        "network": _network_policy(workload),
    }
    if wants.log is not None:
        made["log"] = _log_claim(workload)
    if wants.scale_at_requests is not None:
        made["scaling"] = _scaled_object(workload)
    elif wants.max_replicas > wants.replicas:
        made["scaling"] = _autoscaler(workload)
    return made


def as_yaml(found: Any) -> str:
    """Return YAML in the order in which it was written."""
    text: str = yaml.dump(
        found, Dumper=_WithoutAnchors, sort_keys=False, width=1000, allow_unicode=True
    )
    return text


def resource(workload: Workload, kind: str, version: str, spec: Any, *, tail: str = "") -> Manifest:
    """Return a resource of the workload with its name and labels."""
    name = f"{workload.name}-{tail}" if tail else workload.name
    metadata: Manifest = {"name": name, "labels": labels(workload)}
    if workload.wants.namespace:
        metadata["namespace"] = workload.wants.namespace
    return {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec}


def deployment(workload: Workload) -> Manifest:
    """Return the Deployment: the gateway, and a container that brings each version's model."""
    wants = workload.wants
    pod: Manifest = {
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 30,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "initContainers": init_containers(workload),
        "containers": [main_container(workload)],
        "volumes": volumes(workload),
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": selector(workload)},
            }
        ],
    }
    if wants.spot is not None or wants.gpu is not None:
        pod["tolerations"] = tolerations(workload)
    if wants.spot is not None:
        pod["affinity"] = affinity(wants.spot)
    spec: Manifest = {
        "selector": {"matchLabels": selector(workload)},
        "strategy": {
            "type": "RollingUpdate",
            "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1},
        },
        "template": {
            "metadata": {
                "labels": labels(workload),
                "annotations": {
                    "prometheus.io/scrape": "true",
                    "prometheus.io/port": str(PORT),
                    "prometheus.io/path": "/metrics",
                    # Another configuration is another pod; other routes are not.
                    "onward/gateway": workload.told,
                },
            },
            "spec": pod,
        },
    }
    if not scales(workload):  # a scaler owns the number of pods
        spec = {"replicas": wants.replicas, **spec}
    return resource(workload, "Deployment", "apps/v1", spec)


def scales(workload: Workload) -> bool:
    """Return whether something else than the Deployment sets the number of pods."""
    wants = workload.wants
    return wants.scale_at_requests is not None or wants.max_replicas > wants.replicas


def config_map(workload: Workload, tail: str, data: Mapping[str, str]) -> Manifest:
    """Return a ConfigMap of files by their name."""
    made = resource(workload, "ConfigMap", "v1", None, tail=tail)
    del made["spec"]
    return {**made, "data": dict(data)}


def _service(workload: Workload) -> Manifest:
    spec = {
        "selector": selector(workload),
        "ports": [{"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP"}],
    }
    return resource(workload, "Service", "v1", spec)


def _disruption_budget(workload: Workload) -> Manifest:
    spec = {"maxUnavailable": 1, "selector": {"matchLabels": selector(workload)}}
    return resource(workload, "PodDisruptionBudget", "policy/v1", spec)


def _network_policy(workload: Workload) -> Manifest:
    """Let callers in, and Prometheus; let the pods out to name servers and the online store."""
    callers = workload.wants.callers
    chosen: Manifest = {"podSelector": {"matchLabels": dict(callers)} if callers else {}}
    dns = [{"protocol": protocol, "port": 53} for protocol in ("UDP", "TCP")]
    store = [{"protocol": "TCP", "port": port} for port in workload.egress]
    senders = [chosen]
    if workload.wants.prometheus is not None:
        scraper = {"matchLabels": {"app.kubernetes.io/name": "prometheus"}}
        senders.append({"namespaceSelector": {}, "podSelector": scraper})
    spec = {
        "podSelector": {"matchLabels": selector(workload)},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [{"from": senders, "ports": [{"protocol": "TCP", "port": "http"}]}],
        "egress": [{"ports": [*dns, *store]}],
    }
    return resource(workload, "NetworkPolicy", "networking.k8s.io/v1", spec)


def _log_claim(workload: Workload) -> Manifest:
    spec: Manifest = {
        "accessModes": ["ReadWriteMany"],
        "resources": {"requests": {"storage": workload.wants.log}},
    }
    if workload.wants.storage_class:
        spec["storageClassName"] = workload.wants.storage_class
    return resource(workload, "PersistentVolumeClaim", "v1", spec, tail="log")


def _autoscaler(workload: Workload) -> Manifest:
    wants = workload.wants
    target = {"type": "Utilization", "averageUtilization": wants.scale_at_cpu}
    spec = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": workload.name},
        "minReplicas": wants.replicas,
        "maxReplicas": wants.max_replicas,
        "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
        "behavior": {"scaleDown": {"stabilizationWindowSeconds": 300}},
    }
    return resource(workload, "HorizontalPodAutoscaler", "autoscaling/v2", spec)


def _scaled_object(workload: Workload) -> Manifest:
    wants = workload.wants
    # Every name of the pods' begins with the Deployment's.
    chosen = f'pod=~"{workload.name}-.*"'
    if wants.namespace:
        chosen = f'namespace="{wants.namespace}",{chosen}'
    spec = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": workload.name},
        "minReplicaCount": wants.replicas,
        "maxReplicaCount": wants.max_replicas,
        "triggers": [
            {
                "type": "prometheus",
                "metadata": {
                    "serverAddress": wants.prometheus,
                    "query": f"sum(rate(onward_requests_total{{{chosen}}}[1m]))",
                    "threshold": f"{wants.scale_at_requests:g}",
                },
            }
        ],
    }
    return resource(workload, "ScaledObject", "keda.sh/v1alpha1", spec)


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, sort_keys=True)
