"""What a shadow costs those who wait: the gateway's latency with one and without, interleaved.

The same gateway, model and load; between rounds only the routes change. The shadow answers every
request again, in a process of its own at a low priority: what it may cost on few cores is time on
the processor, not time in the gateway. Measure on a machine that has nothing else to do.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path

import msgspec

from bench.gateway import Figures, made, measure, request_body
from bench.report import Row
from onward.core.records import Route, Routes
from onward.stages.serve.gateway.process import start_gateway
from onward.stages.serve.gateway.settings import GatewayConfig
from onward.stages.serve.routes import write_routes

RELEASE = "release:m@2.1"


def run(quick: bool) -> Sequence[Row]:
    """Measure in rounds of a few seconds, with the shadow and without in turn."""
    rounds, seconds = (2, 1.0) if quick else (9, 4.0)
    found: dict[bool, list[Figures]] = {False: [], True: []}
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        body = place / "body.json"
        body.write_bytes(request_body())
        route(place, shadow=True)  # so that its image is unpacked before
        server = start_gateway(
            GatewayConfig(
                state=str(place / "state"), routes=str(place / "routes"), parent=os.getpid(),
                predictions=str(place / "predictions"),
            )
        )  # fmt: skip
        try:
            url = f"{server.url}/v2/models/m/infer"
            measure(url, server.pid, body, 0.5)
            for number in range(2 * rounds):
                shadow = bool(number % 2) != bool(number // 2 % 2)  # neither is always first
                settle(server.url, route(place, shadow=shadow))
                found[shadow].append(measure(url, server.pid, body, seconds))
        finally:
            server.stop()
    return [row(found, key, unit) for key, unit in (("p99_ms", "ms"), ("cpu_us", "us CPU/request"))]


def row(found: dict[bool, list[Figures]], key: str, unit: str) -> Row:
    """Compare medians."""
    ours, limit = (statistics.median(f[key] for f in found[shadow]) for shadow in (True, False))
    return Row(
        work=f"gateway with a shadow: {key}", ours=ours, limit=limit, ratio=ours / limit,
        target="<= 1.05", unit=unit, against="without",
        note=f"medians of {len(found[True])} rounds, interleaved",
    )  # fmt: skip


def route(place: Path, *, shadow: bool) -> str:
    """Write routes with the shadow or without, and return their version."""
    champion = Route(arm="champion", image=made(place, 1), percent=100.0, release=RELEASE)
    beside = Route(arm="shadow", image=made(place, 2), percent=0.0, release=RELEASE)
    routes = (champion, beside) if shadow else (champion,)
    return write_routes(place / "routes", Routes(model="m", salt="bench", routes=routes))


def settle(url: str, version: str) -> None:
    """Wait until the gateway serves the routes, and the shadow has come or gone."""
    while True:
        with urllib.request.urlopen(f"{url}/routes") as answer:
            if msgspec.json.decode(answer.read())["m"]["version"] == version:
                break
        time.sleep(0.02)
    time.sleep(2.0)
