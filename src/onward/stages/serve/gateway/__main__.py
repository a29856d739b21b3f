"""The gateway's process: ``python -m onward.stages.serve.gateway --config FILE``.

It follows its routes, serves until SIGTERM (or until its parent is gone), then drains: requests
under way are answered, the log is on the disk, and the address is withdrawn.
"""

from __future__ import annotations

import argparse
import asyncio
import errno
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
import uvloop

from onward.core.errors import CorruptError, OnwardError
from onward.core.ports import Masks
from onward.core.records import ImageRef, ModelRef, Route, Routes
from onward.core.version import VERSION
from onward.stages.serve.gateway.endpoints import Endpoints, error_body
from onward.stages.serve.gateway.freshness import Freshness
from onward.stages.serve.gateway.golden import GoldenStore
from onward.stages.serve.gateway.http import Connection
from onward.stages.serve.gateway.image import MODEL_FOLDER, unpack
from onward.stages.serve.gateway.live import Live, open_live
from onward.stages.serve.gateway.metrics import Metrics
from onward.stages.serve.gateway.model import About, ServedModel, load
from onward.stages.serve.gateway.online import Online
from onward.stages.serve.gateway.process import ADDRESS, Address, busy
from onward.stages.serve.gateway.settings import GatewayConfig, read_config
from onward.stages.serve.gateway.tick import Ticker
from onward.stages.serve.log.writer import PredictionLog
from onward.stages.serve.port import OnlineReader
from onward.stages.serve.routes import read_routes


class Follower:
    """Keeps what is served in step with the routes files. One bad file spoils nothing else."""

    def __init__(self, config: GatewayConfig, endpoints: Endpoints, metrics: Metrics) -> None:
        self._config = config
        self._endpoints = endpoints
        self._metrics = metrics
        self._cache = _cache(config)
        self._masks: Masks | None = None if config.masks is None else config.masks.make()
        self._seen: dict[str, tuple[int, int, int]] = {}

    async def look(self) -> None:
        """Take changed routes into service; what cannot be used is refused, and said."""
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
        for name in set(self._endpoints.live) - present.keys():
            self._seen.pop(name, None)
            self._install({n: r for n, r in self._endpoints.live.items() if n != name})
            say(f"{name}: no longer served, its routes are gone")

    async def _change(self, name: str, path: Path) -> None:
        loop = asyncio.get_running_loop()
        try:
            routes, version = read_routes(path)
            if routes.model != name:
                raise CorruptError(f"{path} holds the routes of {routes.model!r}")
            before = self._endpoints.live.get(name)
            live = await loop.run_in_executor(
                None, open_live, routes, version, self._load, before, self._masks
            )
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
            None, open_live, routes, "", opened, None, self._masks
        )
        self._install({name: live})

    def _load(self, route: Route) -> ServedModel:
        model = load((unpack(route.image, self._cache) / MODEL_FOLDER).parent)
        wanted = route.image.model
        if (model.name, model.version) != (wanted.name, wanted.version):
            raise CorruptError(
                f"image {route.image.digest[:19]}… holds {model.name} version {model.version}",
                expected=f"{wanted.name} version {wanted.version}",
            )
        return model

    def _install(self, live: dict[str, Live]) -> None:
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # no stubs

        threadpool_limits(1)  # one row is too little to share out; threads would only wait
        self._metrics.route_changes += 1
        self._endpoints.serve(live)


async def serve(config: GatewayConfig) -> None:
    """Serve until told to stop.

    Raises
    ------
    BusyError
        The port is taken.
    CorruptError
        The one image to serve cannot be used.
    """
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    state = Path(config.state)
    state.mkdir(parents=True, exist_ok=True)
    metrics = Metrics()
    log = None
    if config.predictions is not None:
        log = PredictionLog(Path(config.predictions), started_ns=time.time_ns())
    online = Online(_open_store(config), timeout_s=config.online_timeout_s)
    ticker = Ticker(
        metrics=metrics,
        log=log,
        online=online,
        on_log_failure=config.on_log_failure,
        refusal=lambda error: error_body(_refusal(error, config.predictions or "")),
    )
    endpoints = Endpoints(
        version=VERSION,
        metrics=metrics,
        ticker=ticker,
        log_bytes=lambda: 0 if log is None else log.bytes_written,
        request_clock=config.clock == "request",
        max_body_bytes=config.max_body_bytes,
    )
    freshness = Freshness(online, metrics, lambda: endpoints.live)
    follower = Follower(config, endpoints, metrics)
    try:
        server = await _listen(config, endpoints)
        if config.routes is None:
            await follower.alone(*_only(config))
        else:
            await follower.look()
        endpoints.ready = True
        _announce(state, config.host, server)
        while not stopped.is_set():
            if config.parent is not None and os.getppid() != config.parent:
                say(f"process {config.parent}, which started this gateway, is gone")
                break
            if config.routes is not None:
                await follower.look()
            freshness.look()
            try:
                await asyncio.wait_for(stopped.wait(), config.poll_s)
            except TimeoutError:
                continue
        await _drain(server, endpoints, config.drain_s)
    finally:
        (state / ADDRESS).unlink(missing_ok=True)
        if log is not None:
            log.close()
        online.close()


async def _listen(config: GatewayConfig, endpoints: Endpoints) -> asyncio.Server:
    loop = asyncio.get_running_loop()
    try:
        return await loop.create_server(
            lambda: Connection(endpoints), config.host, config.port, backlog=1024
        )
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        raise busy(config.host, config.port) from None


async def _drain(server: asyncio.Server, endpoints: Endpoints, drain_s: float) -> None:
    """Take no new connections; answer what is under way; end each connection when it is idle."""
    server.close()
    endpoints.draining = True
    deadline = time.monotonic() + drain_s
    while endpoints.connections and time.monotonic() < deadline:
        for connection in [c for c in endpoints.connections if c.idle]:
            connection.close()
        await asyncio.sleep(0.005)


def _open_store(config: GatewayConfig) -> OnlineReader | None:
    if config.image is not None and config.golden_views:
        return GoldenStore(unpack(config.image, _cache(config)) / MODEL_FOLDER)
    if config.online is None:
        return None
    store: OnlineReader = config.online.make()
    return store


def _cache(config: GatewayConfig) -> Path:
    return Path(config.state) / "unpacked"


def _only(config: GatewayConfig) -> tuple[Route, Path | None]:
    if config.image is not None:
        image, folder = config.image, None
    else:
        folder = Path(config.model or "")
        about = msgspec.json.decode((folder / "model.json").read_bytes(), type=About)
        trained = ModelRef(
            name=about.name, version=about.version, path=str(folder / "model"),
            digest=about.digest, trained="", card="",
        )  # fmt: skip
        image = ImageRef(
            name=about.name, digest=f"unpacked:{about.digest}", layout="", model=trained
        )
    release = f"release:{image.name}@{image.model.version}"
    return Route(arm="champion", image=image, percent=100.0, release=release), folder


def _announce(state: Path, host: str, server: asyncio.Server) -> None:
    port = server.sockets[0].getsockname()[1]
    shown = "127.0.0.1" if host == "0.0.0.0" else host  # noqa: S104 (compared, not bound)
    scratch = state / f".{ADDRESS}"
    scratch.write_bytes(msgspec.json.encode(Address(url=f"http://{shown}:{port}", pid=os.getpid())))
    scratch.replace(state / ADDRESS)


def _refusal(error: OSError, folder: str) -> str:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    reason = "the disk of the prediction log is full" if full else "the prediction log failed"
    return f"{reason} ({folder}: {error.strerror or error}): what cannot be logged is not answered"


def say(text: str) -> None:
    """Tell the gateway's own log, which is its standard error."""
    print(text, file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a gateway to its end and return its exit status."""
    parser = argparse.ArgumentParser(prog="onward.stages.serve.gateway", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="a GatewayConfig in JSON")
    try:
        uvloop.run(serve(read_config(parser.parse_args(arguments).config)))
    except OnwardError as error:
        say(str(error))
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
