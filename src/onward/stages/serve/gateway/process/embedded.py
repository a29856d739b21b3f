"""A gateway within a server of another kind: that one listens, this one answers.

All else is as in a process of its own: it follows its routes, takes what arrives in one turn of the
event loop as one batch, and logs what it answers.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from onward.stages.serve.gateway.process.worker import Worker
from onward.stages.serve.gateway.protocol.http import READ
from onward.stages.serve.gateway.settings import GatewayConfig


@dataclass(frozen=True, slots=True)
class Answer:
    """What is to be sent; `headers` hold the content's type and length, and what else there is."""

    status: int
    body: bytes
    headers: dict[str, str]


class Embedded:
    """Answers requests by a configuration; its `host`, ports, `workers` and `parent` mean nothing.

    It is made, and asked, within a running event loop.
    """

    def __init__(self, config: GatewayConfig) -> None:
        self._config = config
        # Others may serve by the same configuration: what this one tells is its own.
        self._told = tempfile.TemporaryDirectory(prefix="onward-embedded-")
        self._worker = Worker(config, None, told=Path(self._told.name))
        self._looking: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Warm up what is served first, and follow the routes from then on.

        Raises
        ------
        CorruptError
            The one image to serve cannot be used.
        """
        await self._worker.warm()
        self._worker.take()
        self._looking = asyncio.create_task(self._look())

    async def ask(
        self,
        method: str,
        url: bytes,
        body: bytes,
        headers: Iterable[tuple[bytes, bytes]],
        peer: str,
    ) -> Answer:
        """Return the answer to a request. `url` is its path and query; `headers` may be any."""
        endpoints = self._worker.endpoints
        asking = _Asking(peer)
        if len(body) > endpoints.max_body_bytes:
            endpoints.refuse(
                asking, 413, f"the body is larger than {endpoints.max_body_bytes} bytes"
            )
        else:
            read = {name.lower(): value for name, value in headers if name.lower() in READ}
            endpoints.handle(asking, method.encode(), url, body, read, keep_alive=True)
        return await asking.answered

    def ready(self) -> bool:
        """Whether it serves, and still follows its routes."""
        looking = self._looking
        return looking is not None and not looking.done() and self._worker.endpoints.ready()

    async def close(self) -> None:
        """Bring the log to the disk and let go of everything. No request is under way."""
        if self._looking is not None:
            self._looking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._looking
        self._worker.close()
        self._told.cleanup()

    async def _look(self) -> None:
        while True:
            await self._worker.look()
            await asyncio.sleep(self._config.poll_s)


class _Asking:
    """A request that waits for its answer."""

    def __init__(self, peer: str) -> None:
        self._peer = peer
        self.answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

    def peer(self) -> str:
        return self._peer

    def hold(self) -> None:
        """Nothing comes after it on the same connection."""

    def resume(self) -> None:
        """Nothing was kept."""

    def answer(
        self,
        status: int,
        body: bytes,
        *,
        keep_alive: bool,  # noqa: ARG002 (the server's own affair)
        kind: str,
        headers: bytes = b"",
        bare: bool = False,
    ) -> None:
        if self.answered.done():  # the caller hung up
            return
        found = {"content-type": kind, "content-length": str(len(body))}
        for line in headers.decode("latin-1").split("\r\n")[1:]:
            name, _, value = line.partition(":")
            found[name.lower()] = value.strip()
        self.answered.set_result(Answer(status, b"" if bare else body, found))
