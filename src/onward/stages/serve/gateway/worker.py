"""A gateway's worker: it follows its routes and serves until SIGTERM (or its parent's end).

Then it drains: requests under way are answered, the log is on the disk, and the address is
withdrawn.
"""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from onward.core.errors import DeclarationError
from onward.core.records import ImageRef, ModelRef, Route
from onward.core.version import VERSION
from onward.stages.serve.gateway.admission import Admission
from onward.stages.serve.gateway.calls import error_body
from onward.stages.serve.gateway.endpoints import Endpoints
from onward.stages.serve.gateway.follower import Follower, cache_of, say
from onward.stages.serve.gateway.freshness import Freshness
from onward.stages.serve.gateway.golden import GoldenStore
from onward.stages.serve.gateway.http import Connection
from onward.stages.serve.gateway.image import MODEL_FOLDER, unpack
from onward.stages.serve.gateway.metrics import Metrics
from onward.stages.serve.gateway.model import About
from onward.stages.serve.gateway.online import Online
from onward.stages.serve.gateway.process import ADDRESS, Address, busy
from onward.stages.serve.gateway.settings import GatewayConfig
from onward.stages.serve.gateway.sweep import Sweeper
from onward.stages.serve.gateway.tick import Ticker
from onward.stages.serve.log.writer import PredictionLog
from onward.stages.serve.port import OnlineReader

if TYPE_CHECKING:
    from onward.stages.serve.gateway.rpc import RpcServer

QUIET_S = 0.25
"""How long a draining worker leaves a silent connection open: a request may be on its way."""


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
    worker = Worker(config)
    try:
        await worker.start()
        while not stopped.is_set():
            if config.parent is not None and os.getppid() != config.parent:
                say(f"process {config.parent}, which started this gateway, is gone")
                break
            await worker.look()
            try:
                await asyncio.wait_for(stopped.wait(), config.poll_s)
            except TimeoutError:
                continue
        await worker.drain()
    finally:
        worker.close()


class Worker:
    """One process's share of a gateway: what it serves with, from the socket to the log."""

    def __init__(self, config: GatewayConfig) -> None:
        self._config = config
        self._state = Path(config.state)
        self._state.mkdir(parents=True, exist_ok=True)
        self._metrics = metrics = Metrics()
        self._log = None
        if config.predictions is not None:
            self._log = log = PredictionLog(Path(config.predictions), started_ns=time.time_ns())
            metrics.log_bytes = lambda: log.bytes_written
        self._online = Online(_open_store(config), timeout_s=config.online_timeout_s)
        self._endpoints = endpoints = Endpoints(
            version=VERSION,
            metrics=metrics,
            ticker=self._ticker(),
            admission=Admission(config.limits, metrics),
            request_clock=config.clock == "request",
            max_body_bytes=config.max_body_bytes,
            max_connections=config.limits.connections,
        )
        metrics.connections = lambda: len(endpoints.connections)
        self._sweeper = Sweeper(config.limits)
        self._freshness = Freshness(self._online, metrics, lambda: endpoints.live)
        self._follower = Follower(config, endpoints, metrics)
        self._server: asyncio.Server | None = None
        self._rpc: RpcServer | None = None

    def _ticker(self) -> Ticker:
        return Ticker(
            metrics=self._metrics,
            log=self._log,
            online=self._online,
            on_log_failure=self._config.on_log_failure,
            refusal=lambda error: error_body(_refusal(error, self._config.predictions or "")),
        )

    async def start(self) -> None:
        """Listen, warm up what is served first, and say that it is ready."""
        config = self._config
        self._server = await _listen(config, self._endpoints)
        if config.grpc_port:
            self._rpc = _rpc_server(config, self._endpoints)
            await self._rpc.start()
        if config.routes is None:
            await self._follower.alone(*_only(config))
        else:
            await self._follower.look()
        self._endpoints.ready = True
        _announce(self._state, config.host, self._server)

    async def look(self) -> None:
        """Do what is done now and then, beside the requests."""
        if self._config.routes is not None:
            await self._follower.look()
        self._freshness.look()
        self._sweeper.look(self._endpoints.connections)

    async def drain(self) -> None:
        """Take no new connections; answer what is under way; end each connection.

        A connection ends with its next answer, which says so; a silent one after `QUIET_S`.
        """
        if self._server is not None:
            self._server.close()
        endpoints = self._endpoints
        endpoints.draining = True
        if self._rpc is not None:
            await self._rpc.stop(self._config.drain_s)
        begin = time.monotonic()
        while endpoints.connections and time.monotonic() < begin + self._config.drain_s:
            if time.monotonic() > begin + QUIET_S:
                for connection in [c for c in endpoints.connections if c.idle]:
                    connection.close()
            await asyncio.sleep(0.005)

    def close(self) -> None:
        """Withdraw the address, bring the log to the disk, let go of the store."""
        (self._state / ADDRESS).unlink(missing_ok=True)
        if self._log is not None:
            self._log.close()
        self._online.close()


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


def _rpc_server(config: GatewayConfig, endpoints: Endpoints) -> RpcServer:
    try:
        from onward.stages.serve.gateway.rpc import RpcServer
    except ModuleNotFoundError as error:
        raise DeclarationError(
            f"the gateway cannot listen for gRPC: {error}",
            expected="gateway.grpc_port = 0, or gRPC installed",
            next_step="pip install 'onward[grpc]'",
        ) from None
    return RpcServer(endpoints, host=config.host, port=config.grpc_port, shared=False)


def _open_store(config: GatewayConfig) -> OnlineReader | None:
    if config.image is not None and config.golden_views:
        return GoldenStore(unpack(config.image, cache_of(config)) / MODEL_FOLDER)
    if config.online is None:
        return None
    store: OnlineReader = config.online.make()
    return store


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
