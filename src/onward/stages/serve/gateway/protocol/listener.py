"""The sockets that a gateway listens on: one port, and a socket for each worker."""

from __future__ import annotations

import errno
import socket
from typing import Final

from onward.core.errors import BusyError

BACKLOG: Final = 1024


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
