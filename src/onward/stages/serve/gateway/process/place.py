"""A worker's place under its supervisor: its own socket, its neighbours', and the line between.

The supervisor holds every worker's socket, so that connections wait there while a worker is
replaced. It says ``adopt N`` to have a worker take the connections of a slot that has none for the
time being, and ``release N`` when it has one again. A worker says ``ready`` once, and from then on
``beat`` as long as its event loop turns.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from onward.stages.serve.gateway.protocol.listener import Listener

READY: Final = b"ready\n"
BEAT: Final = b"beat\n"

BEAT_S: Final = 0.5
"""Seconds between two beats."""

STACKS: Final = signal.SIGUSR1
"""Has a worker write where each of its threads is, to the gateway's log."""

Listen: TypeAlias = Callable[[socket.socket], Listener]


@dataclass(slots=True, kw_only=True)
class Place:
    """Where a worker stands: its name in this life, its slot, and inherited descriptors.

    `listeners` are all slots' sockets by number, `control` is the line to the supervisor.
    """

    id: str
    slot: int
    listeners: tuple[int, ...]
    control: int
    _adopted: dict[int, Listener] = field(default_factory=dict)
    _line: asyncio.Task[None] | None = None

    def own(self) -> socket.socket:
        """Return the worker's own socket."""
        return self._socket(self.slot)

    async def ready(self, listen: Listen, gone: asyncio.Event) -> None:
        """Say that this worker serves, and from now on do what the supervisor says.

        `gone` is set when there is no supervisor any more.
        """
        reader, writer = await asyncio.open_unix_connection(sock=socket.socket(fileno=self.control))
        writer.write(READY)
        await writer.drain()
        self._beat(writer)
        self._line = asyncio.create_task(self._follow(reader, writer, listen, gone))

    def leave(self) -> None:
        """Take no more connections of others."""
        for server in self._adopted.values():
            server.close()
        self._adopted.clear()

    def _beat(self, writer: asyncio.StreamWriter) -> None:
        """Say that the loop turns, and do so again."""
        if not writer.is_closing():
            writer.write(BEAT)
            asyncio.get_running_loop().call_later(BEAT_S, self._beat, writer)

    async def _follow(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        listen: Listen,
        gone: asyncio.Event,
    ) -> None:
        async for said in reader:
            verb, _, number = said.decode().strip().partition(" ")
            slot = int(number)
            if verb == "adopt" and slot not in self._adopted:
                self._adopted[slot] = listen(self._socket(slot))
            elif verb == "release" and slot in self._adopted:
                self._adopted.pop(slot).close()
        writer.close()
        gone.set()

    def _socket(self, slot: int) -> socket.socket:
        return socket.socket(fileno=os.dup(self.listeners[slot]))
