"""HTTP/1.1 on an `asyncio.Protocol`: the least between the socket and the gateway."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from http import HTTPStatus
from typing import Final, Protocol, TypeAlias, cast

import httptools

MAX_HEADER_BYTES: Final = 64 << 10
"""More than this before the body gets 431; what comes in pieces may count twice."""

Headers: TypeAlias = Mapping[bytes, bytes]
"""What a request says beside its body: the headers of `READ` that it has, named in small letters;
one that comes twice has its last value.
"""

READ: Final = frozenset(
    {
        b"authorization", b"connection", b"content-encoding", b"content-length", b"content-type",
        b"expect", b"inference-header-content-length", b"onward-arm", b"onward-deadline-ms",
        b"onward-event-time", b"traceparent", b"tracestate", b"x-request-id",
    }
)  # fmt: skip
"""The headers that anybody here reads: the others are not kept. A new one is a name in this set."""

PIPELINED: Final = 64
"""Requests of one connection that are under way at once: what comes after them waits, unread, and
answers are made no faster than the client takes them.
"""

SMALL: Final = 64 << 10
"""Bytes of a body that any connection may bring: those above are counted over all connections."""

LINGER_S: Final = 1.0
"""How long to go on reading, and forgetting, what a refused client sends: a connection closed on
bytes unread is reset, and the client may never see why.
"""

_HEAD: Final = {
    status: b"HTTP/1.1 %d %s\r\nContent-Type: " % (status, status.phrase.encode())
    for status in HTTPStatus
}


class Endpoint(Protocol):
    """What a connection hands its requests to."""

    max_body_bytes: int
    max_connections: int
    connections: set[Connection]

    max_arriving_bytes: int
    """How much of bodies that are not whole is held, of those larger than `SMALL`."""

    arriving_bytes: int
    """How much is."""

    def handle(
        self,
        connection: Connection,
        method: bytes,
        url: bytes,
        body: bytes,
        headers: Headers,
        *,
        keep_alive: bool,
    ) -> None:
        """Take a whole request; the answer comes through `Connection.answer`."""
        ...

    def refuse(self, connection: Connection, status: int, reason: str) -> None:
        """Answer what is no request, after those before it, and end the connection."""
        ...


class Connection(asyncio.Protocol):
    """One client. Requests may be pipelined: answers leave in the order the requests came."""

    __slots__ = (
        "_body", "_counted", "_ended", "_endpoint", "_full", "_header_bytes", "_headers",
        "_headers_ended", "_held", "_holds", "_in_body", "_parser", "_pending", "_refused", "_size",
        "_transport", "_url", "begun", "receiving",
    )  # fmt: skip

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._refused = self._ended = False
        self._in_body = self._headers_ended = self._full = False
        self._pending = 0
        self._holds = 0
        self._held: deque[Callable[[], None]] = deque()
        self._counted = 0
        self.receiving = False
        self.begun = 0
        self._reset()

    def _reset(self) -> None:
        self._url = b""
        self._headers: dict[bytes, bytes] = {}
        self._body: bytes | bytearray = b""
        self._size = self._header_bytes = 0
        if self._counted:
            self._endpoint.arriving_bytes -= self._counted
            self._counted = 0

    # ------------------------------------------------------------ asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._endpoint.connections.add(self)
        if len(self._endpoint.connections) > self._endpoint.max_connections:
            self._refuse(503, f"{self._endpoint.max_connections:,} connections are open already")

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 (asyncio's name)
        self._transport = None
        self._endpoint.connections.discard(self)
        self._reset()

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        begun, size = self.begun, self._size
        self._headers_ended = False
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._refused = True  # what follows is another protocol's; the request was answered
        except httptools.HttpParserError as error:
            self._refuse(400, f"this is not HTTP/1.1: {error}")
        if self.receiving and self.begun == begun and not self._headers_ended:
            if self._size == size:  # a header, or a trailer, is not told of until it is whole
                self._header_bytes += len(data)
                if self._header_bytes > MAX_HEADER_BYTES:
                    self._refuse_headers()
            elif self._size > SMALL:
                self._count_body()

    def eof_received(self) -> bool:
        """Keep the connection of a client that only listens until it has its answers.

        One that is encrypted cannot be kept.
        """
        self._ended = True
        transport = self._transport
        return self._pending > 0 and transport is not None and transport.can_write_eof()

    def pause_writing(self) -> None:
        """Stop reading from a client that does not read."""
        self._full = True
        self._pace()

    def resume_writing(self) -> None:
        self._full = False
        self._go_on()

    # ------------------------------------------------------------ httptools

    def on_message_begin(self) -> None:
        self.begun += 1
        self.receiving = True

    def on_url(self, url: bytes) -> None:
        self._url = self._url + url if self._url else url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._header_bytes += len(name) + len(value)
        if self._header_bytes > MAX_HEADER_BYTES:
            self._refuse_headers()
        name = name.lower()
        if name in READ and not self._in_body:  # what follows a chunked body is no header
            self._headers[name] = value

    def on_headers_complete(self) -> None:
        self._in_body = self._headers_ended = True
        headers = self._headers
        length = headers.get(b"content-length", b"0")
        if length.isdigit() and int(length) > self._endpoint.max_body_bytes:
            self._refuse_size()
        elif b"expect" in headers and self._transport is not None and not self._refused:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        if self._refused:
            return
        self._size += len(body)
        if self._size > self._endpoint.max_body_bytes:
            self._refuse_size()
        elif not self._body:
            self._body = body
        else:
            if type(self._body) is bytes:
                self._body = bytearray(self._body)
            self._body += body

    def on_message_complete(self) -> None:
        self.receiving = self._in_body = False
        if not self._refused:
            body = self._body if type(self._body) is bytes else bytes(self._body)
            url, headers = self._url, self._headers
            self._reset()
            keep_alive = self._parser.should_keep_alive() and not self._parser.should_upgrade()
            if b"connection" in headers and self._parser.get_http_version() == "1.0":
                keep_alive = False  # its client would have to be told that it is kept
            method = self._parser.get_method()
            take = self._endpoint.handle
            free = self._free
            self._pending += 1
            if free:
                take(self, method, url, body, headers, keep_alive=keep_alive)
            else:
                kept = partial(take, self, method, url, body, headers, keep_alive=keep_alive)
                self._held.append(kept)
                self._pace()

    # ------------------------------------------------------------ answering

    @property
    def idle(self) -> bool:
        """Whether nothing is under way: no request half read, none unanswered."""
        return not self.receiving and self._pending == 0

    def hold(self) -> None:
        """Keep what comes after the request under way until `resume`; each call needs its own."""
        self._holds += 1
        self._pace()

    def resume(self) -> None:
        """Take what was kept, until one of them holds again."""
        self._holds -= 1
        self._go_on()

    @property
    def _free(self) -> bool:
        """Whether the next request may be taken."""
        return not self._holds and not self._full and self._pending - len(self._held) < PIPELINED

    def _go_on(self) -> None:
        """Take what was kept, as far as may be."""
        while self._held and self._free:
            self._held.popleft()()
        self._pace()

    def _pace(self) -> None:
        """Read on, or not."""
        if self._transport is not None and not self._transport.is_closing():
            if self._holds or self._full or self._held:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()

    def answer(
        self,
        status: int,
        body: bytes,
        *,
        keep_alive: bool,
        kind: str,
        headers: bytes = b"",
        bare: bool = False,
    ) -> None:
        """Send an answer; one that ends the connection says so.

        `headers` are further ones, each as ``\\r\\nName: value``; a `bare` answer says how long its
        body would be, and leaves it out.
        """
        self._pending -= 1
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        transport.write(
            b"%b%b\r\nContent-Length: %d%b%b\r\n\r\n%b"
            % (
                _HEAD[HTTPStatus(status)] if status != 200 else _OK,
                kind.encode(),
                len(body),
                headers,
                b"" if keep_alive else b"\r\nConnection: close",
                b"" if bare else body,
            )
        )
        if self._refused and self._pending == 0:
            if transport.can_write_eof():
                transport.write_eof()
            asyncio.get_running_loop().call_later(LINGER_S, self.close)
        elif not keep_alive or (self._ended and self._pending == 0):
            transport.close()
        elif self._held:
            self._go_on()

    def peer(self) -> str:
        """Return the client's address, without its port; empty where it is gone."""
        name = self._transport and self._transport.get_extra_info("peername")
        return str(name[0]) if name else ""

    def time_out(self) -> None:
        """Refuse the request that does not arrive, and end the connection."""
        self._refuse(408, "the request did not arrive whole in time")

    def close(self) -> None:
        """End the connection once what was written has left."""
        if self._transport is not None:
            self._transport.close()

    @property
    def unsent(self) -> int:
        """How many bytes of its answers the client has yet to take."""
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    def abort(self) -> None:
        """End the connection of a client that takes nothing any more."""
        if self._transport is not None:
            self._transport.abort()

    def _refuse_headers(self) -> None:
        self._refuse(431, f"the headers are larger than {MAX_HEADER_BYTES} bytes")

    def _count_body(self) -> None:
        endpoint = self._endpoint
        endpoint.arriving_bytes += self._size - self._counted
        self._counted = self._size
        if endpoint.arriving_bytes > (most := endpoint.max_arriving_bytes):
            self._refuse(429, f"more than {most:,} bytes of requests are arriving; try again soon")

    def _refuse_size(self) -> None:
        limit = self._endpoint.max_body_bytes
        self._refuse(413, f"the body is larger than {limit} bytes")

    def _refuse(self, status: int, reason: str) -> None:
        if not self._refused:
            self._refused = True
            self._pending += 1
            self._reset()
            refuse = partial(self._endpoint.refuse, self, status, reason)
            if self._holds or self._held:
                self._held.append(refuse)
            else:
                refuse()


_OK: Final = _HEAD[HTTPStatus.OK]
