"""A load generator in a process of its own: `python -m bench._load URL SECONDS CONNECTIONS BODY`.

Raw asyncio on uvloop, one request at a time per connection; prints one line of JSON. Used where
`wrk` is not installed.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import uvloop


class Client(asyncio.Protocol):
    """Sends the same request again whenever its answer is whole."""

    def __init__(self, request: bytes, deadline: float, seconds: list[float]) -> None:
        self.request = request
        self.deadline = deadline
        self.seconds = seconds
        self.failed = 0
        self.done = asyncio.get_running_loop().create_future()
        self._left = -1
        self._head = b""

    def connection_made(self, transport) -> None:
        self.transport = transport
        self._send()

    def _send(self) -> None:
        self._begun = time.perf_counter()
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        if self._left < 0:
            self._head += data
            end = self._head.find(b"\r\n\r\n")
            if end < 0:
                return
            head = self._head[:end].lower()
            self.failed += not head.startswith(b"http/1.1 200")
            length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
            self._left = length - (len(self._head) - end - 4)
            self._head = b""
        else:
            self._left -= len(data)
        if self._left == 0:
            self._left = -1
            now = time.perf_counter()
            self.seconds.append(now - self._begun)
            if now < self.deadline:
                self._send()
            else:
                self.transport.close()

    def connection_lost(self, exc) -> None:  # noqa: ARG002 (asyncio's name)
        if not self.done.done():
            self.done.set_result(None)


async def load(url: str, seconds: float, connections: int, body: bytes) -> dict[str, float]:
    parts = urlsplit(url)
    request = (
        f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body
    loop = asyncio.get_running_loop()
    took: list[float] = []
    begun = time.perf_counter()
    clients = []
    for _ in range(connections):
        _, client = await loop.create_connection(
            lambda: Client(request, begun + seconds, took), parts.hostname, parts.port
        )
        clients.append(client)
    await asyncio.gather(*(client.done for client in clients))
    elapsed = time.perf_counter() - begun
    took.sort()
    return {
        "requests": len(took),
        "failed": sum(client.failed for client in clients),
        "per_second": len(took) / elapsed,
        "p50_ms": 1000 * took[len(took) // 2],
        "p99_ms": 1000 * took[int(len(took) * 0.99)],
    }


if __name__ == "__main__":
    _, url, seconds, connections, file = sys.argv
    body = Path(file).read_bytes()
    print(json.dumps(uvloop.run(load(url, float(seconds), int(connections), body))))
