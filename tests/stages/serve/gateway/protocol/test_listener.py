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


class Troubled(socket.socket):
    """A socket whose first connection is gone before it is taken, and the next finds no room."""

    def __init__(self, number: int) -> None:
        super().__init__(fileno=number)
        self.troubles = [errno.EMFILE, errno.ECONNABORTED]

    def accept(self):
        if self.troubles:
            number = self.troubles.pop()
            raise OSError(number, errno.errorcode[number])
        return super().accept()


async def connections(own: socket.socket, *, closed: bool = False) -> list[int]:
    """Have `CLIENTS` connections wait before the loop's next turn; return the turns they got.

    Where it is `closed`, no turn comes before that.
    """
    turns = Turns()
    listening = Listener(own, lambda: turns)
    clients = [socket.create_connection(own.getsockname()) for _ in range(CLIENTS)]
    if closed:
        listening.close()
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


def test_those_who_came_before_the_end_are_taken():
    [own] = bound("127.0.0.1", 0)
    assert len(uvloop.run(connections(own, closed=True))) == CLIENTS


def test_no_more_are_taken_at_once_than_are_bounded(monkeypatch):
    monkeypatch.setattr(listener, "AT_ONCE", 8)
    [own] = bound("127.0.0.1", 0)
    made = uvloop.run(connections(own))
    assert len(made) == CLIENTS
    assert max(made.count(turn) for turn in made) <= 8


def test_connections_outlast_those_that_end_and_wait_where_there_is_no_room(monkeypatch):
    monkeypatch.setattr(listener, "AGAIN_S", 0.0)
    [own] = bound("127.0.0.1", 0)
    troubled = Troubled(own.detach())
    assert len(uvloop.run(connections(troubled))) == CLIENTS
    assert not troubled.troubles
