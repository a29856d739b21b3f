"""What one connection may make the gateway hold, read and answer, byte by byte."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from onward.stages.serve.gateway.limits import Limits
from onward.stages.serve.gateway.protocol import http, sweep
from onward.stages.serve.gateway.protocol.http import Connection
from onward.stages.serve.gateway.protocol.sweep import Sweeper

POST = b"POST /p HTTP/1.1\r\nHost: x\r\n"
GET = b"GET /g HTTP/1.1\r\nHost: x\r\n\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


class Wire(asyncio.Transport):
    """What a connection writes to: a client that takes it, or does not."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = b""
        self.unsent = 0
        self.reading = True
        self.ended = ""

    def write(self, data: Any) -> None:
        self.sent += data

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def is_closing(self) -> bool:
        return bool(self.ended)

    def can_write_eof(self) -> bool:
        return False

    def close(self) -> None:
        self.ended = self.ended or "closed"

    def abort(self) -> None:
        self.ended = "aborted"

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


class Asked:
    """Takes requests, and answers when it is told to."""

    max_body_bytes = 1 << 20
    max_connections = 10
    max_arriving_bytes = 300_000

    def __init__(self) -> None:
        self.arriving_bytes = 0
        self.connections: set[Connection] = set()
        self.taken: list[tuple[bytes, bytes, bool]] = []
        self.refused: list[int] = []

    def handle(
        self, connection: Connection, method: bytes, url: bytes, body: bytes, headers: Any,
        *, keep_alive: bool,
    ) -> None:  # fmt: skip
        assert type(body) is bytes
        self.taken.append((url, body, keep_alive))

    def refuse(self, connection: Connection, status: int, reason: str) -> None:
        self.refused.append(status)


@pytest.fixture
def asked() -> Asked:
    return Asked()


def connected(asked: Asked, *pieces: bytes) -> tuple[Connection, Wire]:
    connection, wire = Connection(asked), Wire()
    connection.connection_made(wire)
    for piece in pieces:
        connection.data_received(piece)
    return connection, wire


def answer(connection: Connection) -> None:
    connection.answer(200, b"{}", keep_alive=True, kind="application/json")


def test_a_body_in_many_small_chunks_is_one_body(asked):
    chunks = b"".join(b"2\r\n%02d\r\n" % (n % 100) for n in range(5_000))
    connected(asked, CHUNKED + chunks[:20_000], chunks[20_000:] + b"0\r\n\r\n")
    [(_, body, _)] = asked.taken
    assert body == b"".join(b"%02d" % (n % 100) for n in range(5_000))


def test_the_end_of_a_large_body_is_no_header_of_the_request_behind_it(asked):
    body = b"x" * 200_000
    head = POST + b"Content-Length: %d\r\n\r\n" % len(body)
    connected(asked, head + body[:1_000], body[1_000:] + GET[:10], GET[10:])
    assert [url for url, _, _ in asked.taken] == [b"/p", b"/g"]
    assert asked.refused == []


@pytest.mark.parametrize(
    "begun",
    [b"GET /g HTTP/1.1\r\nX-Long: ", CHUNKED + b"2\r\nab\r\n0\r\nX-Long: ", CHUNKED + b"2;"],
)
def test_a_header_or_a_trailer_that_does_not_end_is_refused(asked, begun):
    connected(asked, begun, *[b"a" * 30_000] * 4)
    assert asked.refused == [431]
    assert asked.taken == []


def test_the_trailers_of_one_request_are_not_the_headers_of_the_next(asked):
    long = b"X-Long: " + b"a" * 40_000 + b"\r\n"
    connected(asked, CHUNKED + b"0\r\n" + long + b"\r\n", GET[:-2] + long + b"\r\n")
    assert (len(asked.taken), asked.refused) == (2, [])


def test_a_client_of_http_1_0_is_not_kept_waiting_for_the_end(asked):
    connected(asked, b"GET /old HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    connected(asked, b"GET /new HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\n\r\n")
    assert [(url, keep) for url, _, keep in asked.taken] == [(b"/old", False), (b"/new", True)]


def test_so_many_requests_are_under_way_at_once_and_the_others_wait(asked):
    connection, wire = connected(asked, GET * (http.PIPELINED + 2))
    assert (len(asked.taken), wire.reading) == (http.PIPELINED, False)
    connection.pause_writing()
    answer(connection)
    assert len(asked.taken) == http.PIPELINED  # its client takes no answers
    connection.resume_writing()
    assert (len(asked.taken), wire.reading) == (http.PIPELINED + 1, False)
    answer(connection)
    assert (len(asked.taken), wire.reading) == (http.PIPELINED + 2, True)


def test_what_is_no_request_is_refused_after_those_that_wait(asked):
    connection, _ = connected(asked, GET * (http.PIPELINED + 1) + b"nonsense\r\n\r\n")
    assert asked.refused == []
    answer(connection)
    assert (len(asked.taken), asked.refused) == (http.PIPELINED + 1, [])
    answer(connection)
    assert asked.refused == [400]


def test_reading_goes_on_when_nothing_stands_against_it_any_more(asked):
    connection, wire = connected(asked)
    connection.hold()
    connection.pause_writing()
    connection.resume_writing()
    assert not wire.reading
    connection.pause_writing()
    connection.resume()
    assert not wire.reading
    connection.resume_writing()
    assert wire.reading


def test_bodies_that_arrive_are_bounded_over_all_connections(asked):
    head = POST + b"Content-Length: 200000\r\n\r\n"
    first, _ = connected(asked, head, b"x" * 150_000)
    connected(asked, head, b"x" * 160_000)
    assert asked.refused == [429]
    assert asked.arriving_bytes == 150_000
    connected(asked, head[:-4].replace(b"200000", b"60000") + b"\r\n\r\n", *[b"x" * 30_000] * 2)
    assert len(asked.taken) == 1  # small ones come through
    first.data_received(b"x" * 50_000)
    assert (len(asked.taken), asked.arriving_bytes) == (2, 0)
    gone, _ = connected(asked, head, b"x" * 150_000)
    gone.connection_lost(None)
    assert asked.arriving_bytes == 0


def test_a_client_that_takes_nothing_is_let_go_and_a_slow_one_is_not(asked, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(sweep.time, "monotonic", lambda: clock[0])
    sweeper = Sweeper(Limits(receive_s=1.0, idle_s=4.0))
    (stuck, stuck_wire), (slow, slow_wire) = (connected(asked, GET) for _ in range(2))
    refused, refused_wire = connected(asked, b"nonsense\r\n\r\n")
    for each in (stuck, slow):
        answer(each)
    stuck_wire.unsent = refused_wire.unsent = 9_000
    for second in range(9):
        clock[0] = float(second)
        slow_wire.unsent = 9_000 - second
        sweeper.look({stuck, slow, refused})
    ends = [wire.ended for wire in (stuck_wire, slow_wire, refused_wire)]
    assert ends == ["aborted", "", "aborted"]
