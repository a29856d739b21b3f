"""A REST API for tests: a real HTTP server on a free port, with pages, tokens and faults.

``GET /orders?since=…&page=…`` answers ``{"items": […], "next": url}``, two records a page, those
whose ``at`` is not before ``since``; ``POST /token`` gives a token for as many requests as `lasts`.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest


class Api:
    """A running API.

    `faults` are answered first, one a request: a status, and headers. `asked` lists the query of
    each request that was answered with records. With `lasts`, a request needs a token.
    """

    def __init__(self) -> None:
        self.orders: list[dict[str, Any]] = []
        self.faults: list[tuple[int, dict[str, str]]] = []
        self.asked: list[dict[str, str]] = []
        self.tokens = 0
        self.lasts: int | None = None
        self.secret = ""
        self._uses = 0
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}
        )
        self._thread.start()

    def stop(self) -> None:
        """End the server."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def answer(self, path: str, authorization: str | None) -> tuple[int, dict[str, str], Any]:
        if self.faults:
            return (*self.faults.pop(0), {"error": "for now"})
        if self.secret and authorization != f"Bearer {self.secret}":
            return 401, {}, {"error": "who?"}
        if self.lasts is not None:
            self._uses += 1
            if authorization != f"Bearer token-{self.tokens}" or self._uses > self.lasts:
                return 401, {}, {"error": "expired"}
        query = {k: v[0] for k, v in parse_qs(urlsplit(path).query).items()}
        self.asked.append(query)
        page, since = int(query.get("page", 0)), query.get("since", "")
        found = [order for order in self.orders if order["at"] >= since]
        end = 2 * page + 2
        onward = f"{self.url}/orders?since={since}&page={page + 1}" if len(found) > end else None
        return 200, {}, {"items": found[end - 2 : end], "next": onward}

    def token(self) -> dict[str, Any]:
        self.tokens += 1
        self._uses = 0
        return {"access_token": f"token-{self.tokens}", "expires_in": 3600}


def _handler(api: Api) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._say(*api.answer(self.path, self.headers["Authorization"]))

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self._say(200, {}, api.token())

        def _say(self, status: int, headers: dict[str, str], body: Any) -> None:
            text = json.dumps(body).encode()
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


@pytest.fixture
def api() -> Iterator[Api]:
    """A REST API without records."""
    running = Api()
    yield running
    running.stop()
