"""A gateway's worker: it follows its routes and serves until SIGTERM (or its parent's end).

Then it drains: requests under way are answered, the log is on the disk, and the address is
withdrawn.
"""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import socket
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onward.core.errors import DeclarationError
from onward.core.version import VERSION
from onward.stages.serve.gateway.admission.admission import Admission
from onward.stages.serve.gateway.admission.callers import gate_of
from onward.stages.serve.gateway.features.freshness import Freshness
from onward.stages.serve.gateway.features.online import Online, open_store
from onward.stages.serve.gateway.handlers.endpoints import Endpoints
from onward.stages.serve.gateway.metrics.board import Board
from onward.stages.serve.gateway.metrics.counters import Metrics
from onward.stages.serve.gateway.metrics.fleet import Fleet
from onward.stages.serve.gateway.models.image import cache_of
from onward.stages.serve.gateway.models.model import load_route, weight
from onward.stages.serve.gateway.process.descriptors import connections_within
from onward.stages.serve.gateway.process.follower import Follower
from onward.stages.serve.gateway.process.local import announce, withdraw
from onward.stages.serve.gateway.process.place import Place
from onward.stages.serve.gateway.process.watchdog import watched
from onward.stages.serve.gateway.protocol.http import Connection
from onward.stages.serve.gateway.protocol.listener import Listener, bound, busy
from onward.stages.serve.gateway.protocol.sweep import Sweeper
from onward.stages.serve.gateway.protocol.tls import Certificate, show
from onward.stages.serve.gateway.routing.versions import Models
from onward.stages.serve.gateway.settings import GatewayConfig
from onward.stages.serve.gateway.shadow.keeper import Shadows
from onward.stages.serve.gateway.telemetry.observer import observer_of
from onward.stages.serve.gateway.turn.recorder import Recorder
from onward.stages.serve.gateway.turn.tick import Ticker
from onward.stages.serve.gateway.words import say
from onward.stages.serve.log.writer import PredictionLog

if TYPE_CHECKING:
    from onward.stages.serve.gateway.rpc.server import RpcServer

QUIET_S = 0.25
"""How long a draining worker leaves a silent connection open: a request may be on its way."""


FAREWELL_S = 1.0
"""How long a client whose encrypted connection is ended may take to agree."""


async def serve(config: GatewayConfig, place: Place | None = None) -> None:
    """Serve until told to stop: alone, or in a place that a supervisor gave.

    Raises
    ------
    BusyError
        The port is taken.
    CorruptError
        The one image to serve cannot be used.
    DeclarationError
        There is no certificate to show.
    """
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    loop.add_signal_handler(signal.SIGHUP, _not_renewed)
    worker = Worker(config, place)
    try:
        await worker.start(stopped)
        with watched(config.limits.hang_s if place is None else 0.0):
            while not stopped.is_set():
                if place is None and config.parent is not None and os.getppid() != config.parent:
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


def _not_renewed() -> None:
    say("SIGHUP renews workers one by one; this gateway has one, and goes on as it is")


class Worker:
    """One process's share of a gateway: what it serves with, from the socket to the log.

    `told` is the folder where it tells how it stands, if that is not the gateway's own.
    """

    def __init__(
        self, config: GatewayConfig, place: Place | None, *, told: Path | None = None
    ) -> None:
        self._config = config
        self._place = place
        self._announced = False
        self._state = Path(config.state)
        self._state.mkdir(parents=True, exist_ok=True)
        self._metrics = metrics = Metrics()
        self._log = None
        if config.predictions is not None:
            self._log = metrics.log = PredictionLog(
                Path(config.predictions), started_ns=time.time_ns(), bound_s=config.log_bound_s
            )
        self._online = Online(open_store(config), timeout_s=config.online_timeout_s)
        self._fleet = fleet = self._among(place, self._state if told is None else told)
        self._gate = gate_of(config, metrics)
        self._observer = observer_of(config, metrics)
        cache = cache_of(config)
        models = Models(
            config.limits.model_bytes,
            metrics,
            load=partial(load_route, cache=cache),
            least=partial(weight, cache=cache),
        )
        self.endpoints = endpoints = Endpoints(
            version=VERSION,
            metrics=metrics,
            ticker=self._ticker(),
            admission=Admission(config.limits, metrics, self._gate),
            fleet=fleet,
            models=models,
            observer=self._observer,
            request_clock=config.clock == "request",
            max_body_bytes=config.max_body_bytes,
            max_connections=connections_within(config.limits.connections),
            max_arriving_bytes=config.limits.waiting_bytes,
            predictions=None if config.predictions is None else Path(config.predictions),
        )
        fleet.showing(endpoints.shown)
        metrics.connections = lambda: len(endpoints.connections)
        self._sweeper = Sweeper(config.limits)
        self._freshness = Freshness(self._online, metrics, lambda: endpoints.live)
        self._follower = Follower(config, endpoints, models, metrics)
        self._shadows = Shadows(config)
        metrics.shadows = self._shadows.told
        self._trouble = ""
        self._certificate: Certificate | None = None
        self._listener: Listener | None = None
        self._rpc: RpcServer | None = None

    def _ticker(self) -> Ticker:
        recorder = Recorder(metrics=self._metrics, log=self._log)
        return Ticker(
            metrics=self._metrics,
            online=self._online,
            recorder=recorder,
            observer=self._observer,
        )

    def _among(self, place: Place | None, told: Path) -> Fleet:
        board = Board(told)
        if place is None:
            board.clear()
            return Fleet(board, self._metrics, slot=0, id=f"0-{time.time_ns():x}")
        return Fleet(board, self._metrics, slot=place.slot, id=place.id)

    async def start(self, stopped: asyncio.Event) -> None:
        """Warm up what is served first, then listen, and say so."""
        config, place = self._config, self._place
        if config.tls is not None:
            self._certificate = Certificate(config.tls)
            self._shown(self._certificate)
        [own] = bound(config.host, config.port) if place is None else [place.own()]
        await self.warm()
        self._listener = self._listen(own)
        if config.grpc_port:
            self._rpc = _rpc_server(
                config, self.endpoints, self._certificate, shared=place is not None
            )
            await self._rpc.start()
        self.take()
        if place is None:
            port = own.getsockname()[1]
            announce(self._state, config.host, port, encrypted=config.tls is not None)
            self._announced = True
        else:
            await place.ready(self._listen, stopped)

    async def warm(self) -> None:
        """Take into service what is served first."""
        if self._config.routes is None:
            await self._follower.alone()
        else:
            await self._follower.look()

    def take(self) -> None:
        """Say that this worker takes requests from now on."""
        self._fleet.state = "ready"
        self._fleet.tell()

    def _listen(self, own: socket.socket) -> Listener:
        encrypted: dict[str, Any] = {}
        if self._certificate is not None:
            encrypted = {
                "ssl": self._certificate.listening,
                "ssl_handshake_timeout": self._config.limits.receive_s,
                "ssl_shutdown_timeout": FAREWELL_S,
            }
        try:
            return Listener(own, lambda: Connection(self.endpoints), **encrypted)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            raise busy(self._config.host, self._config.port) from None

    async def look(self) -> None:
        """Do what is done now and then, beside the requests.

        What the system refuses meanwhile, such as a file where too many are open, is said once, and
        tried again the next time: requests need not feel it.
        """
        self._sweeper.look(self.endpoints.connections)
        try:
            changed = self._config.routes is not None and await self._follower.look()
            self._fleet.look(changed=changed)
            self._shadows.look(self.endpoints.live)
            self._freshness.look()
            self._renew_certificate()
        except OSError as error:
            if str(error) != self._trouble:
                say(f"{error}: what was to be done beside the requests is tried again")
            self._trouble = str(error)
        else:
            self._trouble = ""

    def _renew_certificate(self) -> None:
        """Show what lies in the certificate's files now, from the next connection on."""
        certificate = self._certificate
        if certificate is not None and certificate.look(time.monotonic()):
            self._shown(certificate)

    def _shown(self, certificate: Certificate) -> None:
        show(self._state, certificate.pair)
        self._metrics.certificate_expires = certificate.pair.expires.timestamp()

    async def drain(self) -> None:
        """Take no new connections; answer what is under way; end each connection.

        A connection ends with its next answer, which says so; a silent one after `QUIET_S`.
        """
        self._fleet.state = "draining"
        self._fleet.tell()
        if self._listener is not None:
            self._listener.close()
        if self._place is not None:
            self._place.leave()
        endpoints = self.endpoints
        endpoints.draining = True
        if self._rpc is not None:
            await self._rpc.stop(self._config.drain_s)
        begin = time.monotonic()
        while time.monotonic() < begin + self._config.drain_s:
            await asyncio.sleep(0.005)  # who was taken last is a connection then
            if not endpoints.connections:
                break
            if time.monotonic() > begin + QUIET_S:
                for connection in [c for c in endpoints.connections if c.idle]:
                    connection.close()

    def close(self) -> None:
        """Withdraw the address, bring the log to the disk, tell the last, let go of the store."""
        if self._announced:
            withdraw(self._state)
        if self._observer is not None:
            self._observer.close()
        self._fleet.tell()
        self._shadows.close()
        self.endpoints.close()
        if self._log is not None:
            self._log.close()
        self._online.close()
        if self._gate is not None:
            self._gate.close()


def _rpc_server(
    config: GatewayConfig,
    endpoints: Endpoints,
    certificate: Certificate | None,
    *,
    shared: bool,
) -> RpcServer:
    try:
        from onward.stages.serve.gateway.rpc.server import RpcServer
    except ModuleNotFoundError as error:
        raise DeclarationError(
            f"the gateway cannot listen for gRPC: {error}",
            expected="gateway.grpc_port = 0, or gRPC installed",
            next_step="pip install 'onward[grpc]'",
        ) from None
    return RpcServer(
        endpoints,
        host=config.host,
        port=config.grpc_port,
        shared=shared,
        certificate=certificate,
    )
