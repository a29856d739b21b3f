"""What is to run: one model's gateway, with the versions that share its traffic."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from onward.core.records import Route, Routes
from onward.stages.deploy.config import Kubernetes
from onward.stages.deploy.image.model import PORT, STATE
from onward.stages.deploy.oci.descriptor import canonical, digest_of

MODELS: Final = "/models"
ROUTES: Final = "/etc/onward/routes"
CONFIG: Final = "/etc/onward/gateway.json"
SECRETS: Final = "/run/secrets"

COPY: Final = (
    "import shutil, sys; to = sys.argv[1]; "
    "shutil.copytree('/opt/onward/model', to + '/model', dirs_exist_ok=True); "
    "shutil.copy('/opt/onward/model.json', to)"
)
"""What takes a version's model out of its image, into a volume that the gateway reads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """A version with a share of the traffic. `image` is a reference that a machine can pull."""

    route: Route
    image: str
    python: str

    @property
    def version(self) -> int:
        return self.route.image.model.version

    @property
    def folder(self) -> str:
        """Where the version's model lies for the gateway."""
        return f"{MODELS}/{self.version}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """A model's gateway.

    `traffic` is how the arms share it, `config` what the gateway is told, `egress` the ports that
    it calls.
    """

    traffic: Routes
    arms: tuple[Arm, ...]
    wants: Kubernetes
    config: Mapping[str, Any]
    egress: tuple[int, ...] = ()

    @property
    def model(self) -> str:
        return self.traffic.model

    @property
    def versions(self) -> tuple[Arm, ...]:
        """An arm for each version, the oldest first."""
        found = {arm.version: arm for arm in self.arms}
        return tuple(found[version] for version in sorted(found))

    @property
    def name(self) -> str:
        """The model's name, as DNS allows it."""
        return re.sub(r"[^a-z0-9]+", "-", self.model.lower()).strip("-")[:50].rstrip("-")

    @property
    def runs(self) -> Arm:
        """The arm whose image the gateway runs in: the newest, whose environment is the newest."""
        return self.versions[-1]

    @property
    def told(self) -> str:
        """A digest of what the gateway is told: another configuration is another container."""
        return digest_of(canonical(dict(self.config)))[7:23]

    @property
    def routes(self) -> str:
        """The routes file, with each version where its model lies in the container."""
        moved = tuple(
            replace(arm.route, image=replace(arm.route.image, layout=arm.folder))
            for arm in self.arms
        )
        return canonical(_plain(replace(self.traffic, routes=moved, kept=()))).decode()


def gateway_in_a_cluster(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return an image's own configuration, changed to follow routes."""
    kept = {name: value for name, value in config.items() if name != "model"}
    return {**kept, "routes": ROUTES, "host": "0.0.0.0", "port": PORT, "state": f"/{STATE}"}  # noqa: S104 (a container's own network)


def _plain(routes: Routes) -> Any:
    """Return the routes as JSON has them, without paths of the machine that wrote them."""
    import msgspec

    plain = msgspec.to_builtins(routes)
    for route in plain["routes"]:
        model = route["image"]["model"]
        model["path"], model["card"] = f"{route['image']['layout']}/model", ""
    return plain
