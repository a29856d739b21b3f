"""Following routes files: what is served is what they say, and one bad file spoils nothing else."""

from __future__ import annotations

import asyncio
import sys
from functools import partial
from pathlib import Path

from onward.core.errors import CorruptError, OnwardError
from onward.core.ports import Masks
from onward.core.records import Route, Routes
from onward.stages.serve.gateway.endpoints import Endpoints
from onward.stages.serve.gateway.image import home
from onward.stages.serve.gateway.live import Live, open_live
from onward.stages.serve.gateway.metrics import Metrics
from onward.stages.serve.gateway.model import ServedModel, load
from onward.stages.serve.gateway.settings import GatewayConfig
from onward.stages.serve.routes import read_routes


class Follower:
    """Keeps what is served in step with the routes files. One bad file spoils nothing else."""

    def __init__(self, config: GatewayConfig, endpoints: Endpoints, metrics: Metrics) -> None:
        self._config = config
        self._endpoints = endpoints
        self._metrics = metrics
        self._cache = cache_of(config)
        masks: Masks | None = None if config.masks is None else config.masks.make()
        self._open = partial(open_live, masks=masks, logging=config.logging)
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
        loop = asyncio.get_running_loop()
        try:
            routes, version = read_routes(path)
            if routes.model != name:
                raise CorruptError(f"{path} holds the routes of {routes.model!r}")
            before = self._endpoints.live.get(name)
            live = await loop.run_in_executor(None, self._open, routes, version, self._load, before)
        except Exception as error:
            reason = str(error) if isinstance(error, OnwardError) else repr(error)
            self._metrics.refused_routes[name] = reason
            say(f"{name}: routes refused, serving as before: {reason}")
            return
        self._metrics.refused_routes.pop(name, None)
        self._install({**self._endpoints.live, name: live})
        shares = ", ".join(
            f"{r.arm} v{r.image.model.version} {r.percent:g} %" for r in routes.routes
        )
        say(f"{name}: serving {shares} (routes {version})")

    async def alone(self, route: Route, folder: Path | None) -> None:
        """Serve one image alone, from its layout or from an unpacked `folder`."""
        name = route.image.model.name
        routes = Routes(model=name, salt="", routes=(route,))
        opened = self._load if folder is None else lambda _: load(folder)
        live = await asyncio.get_running_loop().run_in_executor(
            None, self._open, routes, "", opened, None
        )
        self._install({name: live})

    def _load(self, route: Route) -> ServedModel:
        return load_route(route, self._cache)

    def _install(self, live: dict[str, Live]) -> None:
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # no stubs

        threadpool_limits(1)  # one row is too little to share out; threads would only wait
        self._metrics.route_changes += 1
        self._endpoints.serve(live)


def load_route(route: Route, cache: Path) -> ServedModel:
    """Unpack and load a route's image.

    Raises
    ------
    CorruptError
        It cannot be used, or is another version's.
    """
    model = load(home(route.image, cache))
    wanted = route.image.model
    if (model.name, model.version) != (wanted.name, wanted.version):
        raise CorruptError(
            f"image {route.image.digest[:19]}… holds {model.name} version {model.version}",
            expected=f"{wanted.name} version {wanted.version}",
        )
    return model


def cache_of(config: GatewayConfig) -> Path:
    """Return where images are unpacked; several workers share it."""
    return Path(config.state) / "unpacked"


def say(text: str) -> None:
    """Tell the gateway's own log, which is its standard error."""
    print(text, file=sys.stderr, flush=True)
