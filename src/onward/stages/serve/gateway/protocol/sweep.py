"""Clients that are too slow, or gone quiet: looked for now and then, beside the requests.

A connection carries no clock. What it does shows in a few plain marks, and one whose marks have
not changed since the last looks has been as it is for as long: the hot path pays nothing for it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Protocol

from onward.stages.serve.gateway.limits import Limits


class Swept(Protocol):
    """A connection as the sweeper sees it."""

    receiving: bool
    """Whether a request has begun to arrive and is not whole."""

    begun: int
    """How many requests have begun to arrive."""

    @property
    def idle(self) -> bool:
        """Whether no request is under way."""
        ...

    @property
    def unsent(self) -> int:
        """How many bytes of its answers the client has yet to take."""
        ...

    def time_out(self) -> None:
        """Refuse the request that does not arrive, and end the connection."""
        ...

    def close(self) -> None:
        """End the connection once what was written has left."""
        ...

    def abort(self) -> None:
        """End the connection of a client that takes nothing any more."""
        ...


class Sweeper:
    """Ends connections that for too long have been silent, have kept a request half sent, or have
    taken nothing of their answers.
    """

    def __init__(self, limits: Limits) -> None:
        self._receive_s = limits.receive_s
        self._idle_s = limits.idle_s
        self._every = min(1.0, limits.receive_s / 4, limits.idle_s / 4)
        self._due = 0.0
        self._seen: dict[Swept, tuple[tuple[int, bool, bool, int], float]] = {}

    def look(self, connections: Iterable[Swept]) -> None:
        """Look at every connection, if it is time."""
        now = time.monotonic()
        if now < self._due:
            return
        self._due = now + self._every
        seen, self._seen = self._seen, {}
        for connection in list(connections):
            unsent = connection.unsent
            marks = (connection.begun, connection.receiving, connection.idle, unsent)
            known = seen.get(connection)
            since = known[1] if known is not None and known[0] == marks else now
            if unsent and now - since >= self._idle_s:
                connection.abort()
            elif connection.receiving and not unsent and now - since >= self._receive_s:
                connection.time_out()
            elif connection.idle and now - since >= self._idle_s:
                connection.close()
            else:
                self._seen[connection] = (marks, since)
