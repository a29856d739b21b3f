"""Asking a staging gateway: rows and tensors in, status and JSON out."""

from __future__ import annotations

import http.client
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from onward.core.records import ImageRef

TIMEOUT_S: Final = 30


@dataclass(frozen=True, slots=True)
class Staged:
    """An image that a staging gateway serves at `url`."""

    url: str
    image: ImageRef

    @property
    def path(self) -> str:
        return f"/v2/models/{self.image.model.name}"

    def connect(self) -> http.client.HTTPConnection:
        parts = urlsplit(self.url)
        return http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=TIMEOUT_S)

    def ask(self, path: str, body: bytes | None = None) -> tuple[int, Any]:
        """GET, or POST `body`; return the status and the answer's JSON."""
        connection = self.connect()
        try:
            return ask(connection, path, body)
        finally:
            connection.close()


def ask(
    connection: http.client.HTTPConnection,
    path: str,
    body: bytes | None,
    headers: Mapping[str, str] | None = None,
) -> tuple[int, Any]:
    """GET, or POST `body`, on an open connection; return the status and the answer's JSON."""
    connection.request("GET" if body is None else "POST", path, body, dict(headers or {}))
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read())


def request_rows(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Return rows as the body of ``predict``; what JSON cannot say is null."""
    plain = [{name: jsonable(value) for name, value in row.items()} for row in rows]
    return json.dumps({"rows": plain}).encode()


def jsonable(value: Any) -> Any:
    """Return the value, or None for a float that JSON cannot say."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def percentile(seconds: Sequence[float], q: float) -> float:
    """Return the q-quantile, by the nearest rank, in milliseconds."""
    ordered = sorted(seconds)
    return 1000 * ordered[math.ceil(q * len(ordered)) - 1]
