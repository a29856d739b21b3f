"""Callers of a gateway that never pause, while a test does something to it."""

from __future__ import annotations

import threading
from typing import Any, Self

import httpx
import trained_models as small
from gateway_site import Site

MODEL = "/v2/models/returns"


class Load:
    """Callers that never pause; `answers` holds (status, first prediction) of every request."""

    def __init__(self, site: Site, callers: int = 4) -> None:
        self.site = site
        self.answers: list[tuple[int, dict[str, Any]]] = []
        self.failures: list[str] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._call, args=(i,)) for i in range(callers)]

    def _call(self, seed: int) -> None:
        rows = small.rows(200, seed=seed + 100)
        at = 0
        with httpx.Client(base_url=self.site.server.url, timeout=30) as client:
            while not self._stop.is_set():
                try:
                    answer = client.post(f"{MODEL}/predict", json={"rows": [rows[at % 200]]})
                    entry = answer.json()["predictions"][0]
                    self.answers.append((answer.status_code, entry))
                except httpx.TransportError as error:
                    self.failures.append(repr(error))
                    return
                at += 1

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def until(self, more: int) -> None:
        """Wait until `more` further requests were answered."""
        wanted = len(self.answers) + more
        self.site.until(lambda: len(self.answers) >= wanted or bool(self.failures))
