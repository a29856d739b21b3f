"""Connections are taken as they come: all of one turn at once, and again once there is room."""

from __future__ import annotations

import asyncio
import errno
import socket

import uvloop

from onward.stages.serve.gateway.protocol import listener
from onward.stages.serve.gateway.protocol.listener import Listener, bound

CLIENTS = 64


class Turns(asyncio.Protocol):
    """Notes in which turn of the loop each connection was made."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.now = 0
        self.made: list[int] = []
        self.all = asyncio.Event()
        self._turn()

    def _turn(self) -> None:
        self.now += 1
        if not self.all.is_set():
            self.loop.call_soon(self._turn)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()
        self.made.append(self.now)
        if len(self.made) == CLIENTS:
            self.all.set()


class Full(socket.socket):
    """A socket whose first connection finds no descriptor free."""

    refused = 0

    def accept(self):
        if not self.refused:
            self.refused += 1
            raise OSError(errno.EMFILE, "too many open files")
        return super().accept()


async def connections(own: socket.socket) -> list[int]:
    """Have `CLIENTS` connections wait before the loop's next turn; return the turns they got."""
    turns = Turns()
    listening = Listener(own, lambda: turns)
    clients = [socket.create_connection(own.getsockname()) for _ in range(CLIENTS)]
    await turns.all.wait()
    listening.close()
    listening.close()
    for client in clients:
        client.close()
    return turns.made


def test_connections_that_came_together_are_taken_together():
    [own] = bound("127.0.0.1", 0)
    made = uvloop.run(connections(own))
    assert len(made) == CLIENTS
    assert made[-1] - made[0] <= 2  # uvloop's own server: one a turn, 63


def test_no_more_are_taken_at_once_than_are_bounded(monkeypatch):
    monkeypatch.setattr(listener, "AT_ONCE", 8)
    [own] = bound("127.0.0.1", 0)
    made = uvloop.run(connections(own))
    assert len(made) == CLIENTS
    assert max(made.count(turn) for turn in made) <= 8


def test_connections_wait_until_there_is_room_for_them(monkeypatch):
    monkeypatch.setattr(listener, "AGAIN_S", 0.0)
    [own] = bound("127.0.0.1", 0)
    full = Full(fileno=own.detach())
    assert len(uvloop.run(connections(full))) == CLIENTS
    assert full.refused == 1
