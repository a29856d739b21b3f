"""The least that can be: a uvloop protocol that parses HTTP and sends each body back."""

from __future__ import annotations

import asyncio
import os

import httptools
import uvloop

from bench._model import given


class Echo(asyncio.Protocol):
    """Answers every request with its own body."""

    def connection_made(self, transport) -> None:
        self._transport = transport
        self._parser = httptools.HttpRequestParser(self)
        self._body = b""

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(self._body)
        self._transport.write(head + self._body)
        self._body = b""


async def serve(port: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Echo, "127.0.0.1", port, reuse_port=True)
    await server.serve_forever()


if __name__ == "__main__":
    told = given()
    for _ in range(told.workers - 1):
        if os.fork() == 0:
            break
    uvloop.run(serve(told.port))
