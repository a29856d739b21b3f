"""What a shadow costs those who wait: the gateway's latency with one and without, interleaved.

The same gateway, model and load; between rounds only the routes change. The shadow answers every
request again, in a process of its own and in idle time. Under this load two cores have little of
that, one of them makes the load: the note says how much the shadow had answered at the end. CPU is
the gateway's own, without the shadow's. Measure on a machine that has nothing else to do.
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

from bench._load import Figures, load
from bench._processes import own_cpu_seconds
from bench.gateway import CONNECTIONS, made, request_body
from bench.report import Row
from onward.core.records import Route, Routes
from onward.stages.serve.gateway.process.local import start_gateway
from onward.stages.serve.gateway.settings import GatewayConfig
from onward.stages.serve.log.reader import Cursor, read_span
from onward.stages.serve.routes import write_routes

SHADOWED = "release:m@2.1"
ALONE = "release:m@1"


def run(quick: bool) -> Sequence[Row]:
    """Measure in rounds of a few seconds, with the shadow and without in turn."""
    return measure(rounds=2, seconds=1.0) if quick else measure()


def measure(rounds: int = 9, seconds: float = 4.0) -> Sequence[Row]:
    """Load one gateway so many times with the shadow and so many without, and compare medians."""
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
            loaded(url, server.pid, body, 0.5)
            for number in range(2 * rounds):
                shadow = bool(number % 2) != bool(number // 2 % 2)  # neither is always first
                settle(server.url, route(place, shadow=shadow))
                found[shadow].append(loaded(url, server.pid, body, seconds))
        finally:
            server.stop()
        share = answered(place / "predictions")
    figures = (("p99_ms", "ms"), ("p50_ms", "ms"), ("cpu_us", "us CPU/request"))
    return [row(found, key, unit, share) for key, unit in figures]


def loaded(url: str, pid: int, body: Path, seconds: float) -> Figures:
    """Load the gateway and return requests/s, latencies, and its own CPU per request."""
    before = own_cpu_seconds(pid)
    figures = load(url, body, seconds, CONNECTIONS)
    figures["cpu_us"] = 1e6 * (own_cpu_seconds(pid) - before) / figures["requests"]
    return figures


def answered(predictions: Path) -> float:
    """Return which part of the rows that it was to answer the shadow had answered when it ended."""
    rows, cursor = {"champion": 0, "shadow": 0}, Cursor()
    while span := read_span(predictions, cursor):
        cursor = span.cursor
        for logged in span.batches:
            if logged.header.release == SHADOWED:
                rows[logged.header.arm] += len(logged)
    return rows["shadow"] / max(1, rows["champion"])


def row(found: dict[bool, list[Figures]], key: str, unit: str, share: float) -> Row:
    """Compare medians."""
    note = f"medians of {len(found[True])} rounds, interleaved; the shadow answered {share:.0%}"
    ours, limit = (statistics.median(f[key] for f in found[shadow]) for shadow in (True, False))
    return Row(
        work=f"gateway with a shadow: {key}", ours=ours, limit=limit, ratio=ours / limit,
        target="<= 1.05", unit=unit, against="without",
        note=note,
    )  # fmt: skip


def route(place: Path, *, shadow: bool) -> str:
    """Write routes with the shadow or without, and return their version."""
    release = SHADOWED if shadow else ALONE
    champion = Route(arm="champion", image=made(place, 1), percent=100.0, release=release)
    beside = Route(arm="shadow", image=made(place, 2), percent=0.0, release=SHADOWED)
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
