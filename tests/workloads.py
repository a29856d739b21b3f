"""Workloads to render: a champion with a candidate, asking for everything; and the plainest one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from onward import Kubernetes
from onward.core.records import ImageRef, ModelRef, Route, Routes
from onward.stages.deploy.image.model import gateway_config
from onward.stages.deploy.workload import Arm, Workload, gateway_in_a_cluster

PLAN = {"plan": {"request": [{"mask": "tokens"}], "views": []}}
EVERYTHING = {
    "replicas": 3,
    "max_replicas": 12,
    "cpu": "2",
    "memory": "4Gi",
    "gpu": "mig-1g.10gb",
    "spot": ("example/spot", "true"),
    "namespace": "shop",
    "log": "20Gi",
    "storage_class": "shared",
    "secrets": "shop-secrets",
    "callers": {"app": "checkout"},
}


def arm(name: str, version: int, percent: float) -> Arm:
    digest = f"sha256:{version:064d}"
    model = ModelRef(
        name="order_return", version=version, path=f"/home/ada/trained/{version}",
        digest=f"{version:064d}", trained=f"trained:t{version}", card="/home/ada/card.md",
    )  # fmt: skip
    image = ImageRef(name="order_return", digest=digest, layout="/home/ada/images", model=model)
    route = Route(
        arm=name, image=image, percent=percent, release=f"release:order_return@{version}.1"
    )
    reference = f"registry.example/shop/order_return:{version}@{digest}"
    return Arm(route=route, image=reference, python="/usr/bin/python3.11")


def workload(
    *,
    candidate: bool = True,
    egress: tuple[int, ...] = (),
    config: Mapping[str, Any] | None = None,
    **wants: object,
) -> Workload:
    """Return a workload of one version, or of two; the gateway is told what it is in a cluster."""
    arms = (arm("champion", 1, 90.0), arm("candidate", 2, 10.0))
    arms = arms if candidate else (arm("champion", 1, 100.0),)
    return Workload(
        traffic=Routes(
            model="order_return",
            salt="release:order_return@2",
            routes=tuple(each.route for each in arms),
        ),
        arms=arms,
        wants=Kubernetes(**wants),
        config=config or gateway_in_a_cluster(gateway_config(PLAN)),
        egress=egress,
    )
