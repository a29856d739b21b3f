"""A load that comes when it comes, whatever the answers do: a process of its own.

`python -m bench._paced_load URL SECONDS RATE CONNECTIONS BODY`: requests come at random (Poisson)
at RATE a second, the same moments in every run. Each has a connection to itself; where none is free
it waits for one. A request takes from the moment that it was due until its answer is whole, so that
what waits behind a slow answer counts (no coordinated omission), and a generator that lags too.
Prints one line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httptools
import uvloop

from bench._load import Figures, figures, generated

BEAT_S = 0.001
"""How often the generator looks for what is due; finer timers uvloop has not."""


def paced(url: str, body: Path, seconds: float, rate: float, connections: int) -> Figures:
    """Ask `rate` times a second for `seconds`; return requests/s and latencies.

    Raises
    ------
    AbsentError
        Nothing was answered, or a request was not answered in a minute.
    """
    command = [sys.executable, "-m", "bench._paced_load", url, str(seconds), str(rate)]
    return generated([*command, str(connections), str(body)], seconds)


class Pace:
    """Gives each request that is due to a connection that is free."""

    def __init__(self, moments: Iterator[float]) -> None:
        self.free: deque[Connection] = deque()
        self.due: deque[float] = deque()
        self.seconds: list[float] = []
        self.failed = self.under_way = 0
        self._moments = moments
        self._next = next(moments, None)

    async def keep(self, begun: float) -> None:
        """Send what is due until all is answered."""
        while self._next is not None or self.due or self.under_way:
            now = time.perf_counter() - begun
            while self._next is not None and self._next <= now:
                self.due.append(begun + self._next)
                self._next = next(self._moments, None)
            self.send()
            await asyncio.sleep(BEAT_S)

    def send(self) -> None:
        """Send what was due first, as long as connections are free."""
        while self.due and self.free:
            self.under_way += 1
            self.free.popleft().send(self.due.popleft())

    def answered(self, connection: Connection, due: float, status: int) -> None:
        """Count an answer, and give its connection to what waits."""
        self.seconds.append(time.perf_counter() - due)
        self.failed += status != 200
        self.under_way -= 1
        self.free.append(connection)
        self.send()


class Connection(asyncio.Protocol):
    """A connection that has one request under way, or is free."""

    def __init__(self, pace: Pace, request: bytes) -> None:
        self._pace = pace
        self._request = request

    def connection_made(self, transport) -> None:
        self.transport = transport
        self._pace.free.append(self)

    def send(self, due: float) -> None:
        """Send the request that was due at `due`."""
        self._due = due
        self._parser = httptools.HttpResponseParser(self)
        self.transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        self._pace.answered(self, self._due, self._parser.get_status_code())

    def connection_lost(self, exc) -> None:  # noqa: ARG002 (asyncio's name)
        if self not in self._pace.free:
            raise SystemExit("the server ended a connection with a request under way")


def moments(rate: float, seconds: float) -> Iterator[float]:
    """Yield when requests come, in seconds from the start."""
    chance, at = random.Random(0), 0.0
    while (at := at + chance.expovariate(rate)) < seconds:
        yield at


async def drive(url: str, seconds: float, rate: float, connections: int, body: bytes) -> Figures:
    parts = urlsplit(url)
    request = (
        f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body
    pace = Pace(moments(rate, seconds))
    loop = asyncio.get_running_loop()
    opened = [
        await loop.create_connection(
            lambda: Connection(pace, request), parts.hostname, parts.port
        )
        for _ in range(connections)
    ]  # fmt: skip
    begun = time.perf_counter()
    await pace.keep(begun)
    elapsed = time.perf_counter() - begun
    for transport, _ in opened:
        transport.close()
    return figures(pace.seconds, pace.failed, elapsed)


if __name__ == "__main__":
    _, url, seconds, rate, connections, file = sys.argv
    body = Path(file).read_bytes()
    print(json.dumps(uvloop.run(
        drive(url, float(seconds), float(rate), int(connections), body)
    )))  # fmt: skip
