"""Following routes files: what is served is what they say, and one bad file spoils nothing else."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

import msgspec

from onward.core.errors import CorruptError, OnwardError
from onward.core.ports import Masks
from onward.core.records import ImageRef, ModelRef, Route, Routes
from onward.stages.serve.gateway.handlers.endpoints import Endpoints
from onward.stages.serve.gateway.metrics.counters import Metrics
from onward.stages.serve.gateway.models.model import About
from onward.stages.serve.gateway.routing.live import Live
from onward.stages.serve.gateway.routing.versions import Models
from onward.stages.serve.gateway.settings import GatewayConfig
from onward.stages.serve.gateway.words import say
from onward.stages.serve.routes import read_routes


class Follower:
    """Keeps what is served in step with the routes files. One bad file spoils nothing else."""

    def __init__(
        self, config: GatewayConfig, endpoints: Endpoints, models: Models, metrics: Metrics
    ) -> None:
        self._config = config
        self._endpoints = endpoints
        self._models = models
        self._metrics = metrics
        masks: Masks | None = None if config.masks is None else config.masks.make()
        self._made = partial(Live, masks=masks, logging=config.logging)
        self._seen: dict[str, tuple[int, int, int]] = {}

    async def look(self) -> bool:
        """Take changed routes into service; what cannot be used is refused, and said.

        Returns whether anything had changed.
        """
        changed = False
        folder = Path(self._config.routes or "")
        present = {p.stem: p for p in folder.glob("*.json") if not p.name.startswith(".")}
        for name, path in sorted(present.items()):
            try:
                stat = path.stat()
            except FileNotFoundError:
                continue
            mark = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
            if self._seen.get(name) != mark:
                self._seen[name] = mark
                await self._change(name, path)
                changed = True
        for name in set(self._endpoints.live) - present.keys():
            self._seen.pop(name, None)
            self._install({n: r for n, r in self._endpoints.live.items() if n != name})
            say(f"{name}: no longer served, its routes are gone")
            changed = True
        return changed

    async def _change(self, name: str, path: Path) -> None:
        version = None
        try:
            routes, version = read_routes(path)
            if routes.model != name:
                raise CorruptError(f"{path} holds the routes of {routes.model!r}")
            live = await self._open(routes, version)
        except Exception as error:
            reason = str(error) if isinstance(error, OnwardError) else repr(error)
            self._metrics.refused_routes[name] = reason, version
            self._endpoints.serve(self._endpoints.live)  # what was loaded for nothing goes
            say(f"{name}: routes refused, serving as before: {reason}")
            return
        self._metrics.refused_routes.pop(name, None)
        self._install({**self._endpoints.live, name: live})
        shares = ", ".join(
            f"{r.arm} v{r.image.model.version} {r.percent:g} %" for r in routes.routes
        )
        say(f"{name}: serving {shares} (routes {version})")

    async def alone(self) -> None:
        """Serve the one version that the configuration names."""
        route = _only(self._config)
        name = route.image.model.name
        live = await self._open(Routes(model=name, salt="", routes=(route,)), "")
        self._install({name: live})

    async def _open(self, routes: Routes, version: str) -> Live:
        """Make routes ready to serve, with the versions that they need in memory."""
        models = {route.image.digest: await self._models.need(route) for route in routes.routes}
        run = asyncio.get_running_loop().run_in_executor
        return await run(None, self._made, routes, version, models)

    def _install(self, live: dict[str, Live]) -> None:
        self._metrics.route_changes += 1
        self._endpoints.serve(live)


def _only(config: GatewayConfig) -> Route:
    image = config.image
    if image is None:
        folder = Path(config.model or "")
        about = msgspec.json.decode((folder / "model.json").read_bytes(), type=About)
        trained = ModelRef(
            name=about.name, version=about.version, path=str(folder / "model"),
            digest=about.digest, trained="", card="",
        )  # fmt: skip
        image = ImageRef(
            name=about.name, digest=f"unpacked:{about.digest}", layout=str(folder), model=trained
        )
    release = f"release:{image.name}@{image.model.version}"
    return Route(arm="champion", image=image, percent=100.0, release=release)
