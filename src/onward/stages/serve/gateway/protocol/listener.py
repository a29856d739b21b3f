"""The sockets that a gateway listens on, one for each worker, and taking who comes to them."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import Callable
from typing import Any, Final

from onward.core.errors import BusyError

BACKLOG: Final = 1024

AT_ONCE: Final = 128
"""The most connections that are taken in one turn of the loop."""

AGAIN_S: Final = 1.0
"""How long none is taken after the system had no room for one: as long as asyncio waits."""

_NO_ROOM: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Listener:
    """Takes the connections that come to a socket, all that are there in one turn of the loop.

    uvloop's own server takes one a turn. Where a turn predicts for everybody who has asked, the
    last of sixty-four who came together would wait for sixty-four turns before he is read.

    Parameters
    ----------
    own
        Bound, and not blocking; this closes it.
    protocol
        Makes what a connection is handed to.
    encrypted
        The `ssl` options of `loop.connect_accepted_socket`.

    Raises
    ------
    OSError
        Something else listens on the port.
    """

    def __init__(
        self, own: socket.socket, protocol: Callable[[], asyncio.Protocol], **encrypted: Any
    ) -> None:
        own.listen(BACKLOG)
        self._own = own
        self._protocol = protocol
        self._encrypted = encrypted
        self._loop = asyncio.get_running_loop()
        self._beginning: set[asyncio.Task[None]] = set()
        self._open()

    def close(self) -> None:
        """Take those that are there, and no more."""
        if self._own.fileno() >= 0:
            self._take()
            self._loop.remove_reader(self._own)
            self._own.close()

    def _open(self) -> None:
        if self._own.fileno() >= 0:
            self._loop.add_reader(self._own, self._take)

    def _take(self) -> None:
        for _ in range(AT_ONCE):
            try:
                taken, _ = self._own.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno not in _NO_ROOM:
                    continue  # it is over with that connection before it began: accept(2)
                self._loop.remove_reader(self._own)
                self._loop.call_later(AGAIN_S, self._open)
                return
            taken.setblocking(False)
            task = self._loop.create_task(self._begin(taken))
            self._beginning.add(task)
            task.add_done_callback(self._beginning.discard)

    async def _begin(self, taken: socket.socket) -> None:
        with contextlib.suppress(OSError):  # who left, or agrees to no cipher, gets no answer
            await self._loop.connect_accepted_socket(self._protocol, taken, **self._encrypted)


def bound(host: str, port: int, workers: int = 1) -> list[socket.socket]:
    """Return a socket for each worker, bound to one port and not listening yet.

    The kernel shares connections out among those that listen (``SO_REUSEPORT``); port 0 takes a
    free one.

    Raises
    ------
    BusyError
        Something else has the port.
    """
    if workers == 1:
        return [_bound(host, port, shared=False)]
    if port:
        _bound(host, port, shared=False).close()  # another gateway that shares would not be noticed
    first = _bound(host, port, shared=True)
    port = first.getsockname()[1]
    return [first, *(_bound(host, port, shared=True) for _ in range(workers - 1))]


def _bound(host: str, port: int, *, shared: bool) -> socket.socket:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, kind, protocol, _, address = found[0]
    made = socket.socket(family, kind, protocol)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        made.bind(address)
        made.setblocking(False)
    except OSError as error:
        made.close()
        if error.errno != errno.EADDRINUSE:
            raise
        raise busy(host, port) from None
    return made


def busy(host: str, port: int, setting: str = "port") -> BusyError:
    """Return the error for a port that something else listens on."""
    return BusyError(
        f"port {port} on {host} is taken",
        expected="a free port for the gateway",
        next_step="stop what listens there, or choose another: "
        f"{'--port, or ' if setting == 'port' else ''}gateway.{setting} in onward.toml",
    )
