"""A gateway of its own for a test, with its folders and a client."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import trained_models as small

from onward.core.records import ImageRef, Route, Routes
from onward.infra.online.sqlite import open_store
from onward.stages.serve.gateway.metrics.board import Board, Retired, Told
from onward.stages.serve.gateway.process.local import LocalServer, start_gateway
from onward.stages.serve.gateway.settings import Factory, GatewayConfig
from onward.stages.serve.routes import write_routes


def routes_of(*arms: tuple[ImageRef, float], salt: str = "salt") -> Routes:
    """Return routes: the champion first, with each arm's percent."""
    names = ("champion", "candidate", "v3")
    return Routes(
        model=arms[0][0].name,
        salt=salt,
        routes=tuple(
            Route(arm=arm, image=image, percent=percent, release=f"{arm}-release")
            for arm, (image, percent) in zip(names, arms, strict=False)
        ),
    )


def write_stores(file: Path, at: datetime) -> Factory:
    """Write features of stores s0 to s3, as of `at`: rate 0.1 x number, visits 10 x number."""
    numbers = range(4)
    store = open_store(str(file))
    store.write(
        small.STORES,
        pa.table(
            {
                "store": [f"s{n}" for n in numbers],
                "event_time": pa.array([at] * 4, pa.timestamp("us", tz="UTC")),
                "rate": [0.1 * n for n in numbers],
                "visits": [10.0 * n for n in numbers],
            }
        ),
    )
    store.close()
    return Factory(entry="onward.infra.online.sqlite:open_store", arguments={"path": str(file)})


@dataclass
class Site:
    """A running gateway, where its files are, and a client for it."""

    server: LocalServer
    folder: Path
    client: httpx.Client

    @property
    def predictions(self) -> Path:
        return self.folder / "predictions"

    def route(self, *arms: tuple[ImageRef, float], salt: str = "salt") -> None:
        """Write routes of these arms and wait until the gateway serves them."""
        self.serve(routes_of(*arms, salt=salt))

    def serve(self, routes: Routes) -> None:
        """Write routes and wait until the gateway serves them."""
        version = write_routes(self.folder / "routes", routes)
        self.until(lambda: self._version(routes.model) == version)

    def _version(self, model: str) -> str | None:
        return self.routes().get(model, {}).get("version")

    def routes(self) -> Any:
        return self.client.get("/routes").json()

    def until(self, holds: Callable[[], bool], timeout_s: float = 20.0) -> None:
        deadline = time.monotonic() + timeout_s
        while not holds():
            assert time.monotonic() < deadline, (self.folder / "state/gateway.log").read_text()
            time.sleep(0.01)

    def predict(self, rows: list[dict[str, Any]], model: str = "returns") -> httpx.Response:
        return self.client.post(f"/v2/models/{model}/predict", json={"rows": rows})


class serving:
    """Serve routes with a gateway of its own, for as long as the block lasts."""

    def __init__(self, folder: Path, *routes: Routes, **options: Any) -> None:
        for each in routes:
            write_routes(folder / "routes", each)
        self.folder = folder
        self.config = GatewayConfig(
            **{
                "state": str(folder / "state"),
                "routes": str(folder / "routes"),
                "predictions": str(folder / "predictions"),
                "online": write_stores(folder / "online.db", datetime.now(UTC)),
                "parent": os.getpid(),
                "poll_s": 0.02,
                **options,
            }
        )

    def __enter__(self) -> Site:
        self.server = start_gateway(self.config)
        self.client = httpx.Client(base_url=self.server.url, timeout=30)
        return Site(self.server, self.folder, self.client)

    def __exit__(self, *_: object) -> None:
        self.client.close()
        self.server.stop()


def board(site: Site) -> tuple[list[Told], Retired]:
    return Board(site.folder / "state").read()


def ready(site: Site) -> dict[int, int]:
    """Return the process that serves, by slot."""
    return {told.slot: told.pid for told in board(site)[0] if told.state == "ready"}


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
