"""What a shadow costs those who wait: the gateway's latency with one and without, interleaved.

The same gateway and model; between rounds only the routes change. Three loads: half of the most
that the gateway answers alone and eight tenths, coming at random whatever the answers do, and as
much as 64 connections ask one after the other. Each round measures without, with and without
again, so that what two halves of the same thing differ by, which is noise, stands beside what the
shadow makes. The shadow answers every request again, in a process of its own and in idle time; the
note says how much of that it had done when the load ended, and the next load begins when it is
abreast. CPU is the gateway's own, without the shadow's. Measure on a machine that has nothing else
to do.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
import urllib.request
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bench._load import Figures, load
from bench._paced_load import paced
from bench._processes import own_cpu_seconds, tree
from bench.gateway import CONNECTIONS, made, request_body
from bench.report import Row
from onward.core.records import Route, Routes
from onward.stages.serve.gateway.metrics.progress import Progress
from onward.stages.serve.gateway.process.local import LocalServer, start_gateway
from onward.stages.serve.gateway.settings import GatewayConfig
from onward.stages.serve.gateway.shadow.process import BEAT_S, KEEP_S
from onward.stages.serve.routes import write_routes

SHADOWED = "release:m@2.1"
ALONE = "release:m@1"

LOADS = (("half of the peak", 0.5), ("0.8 of the peak", 0.8), ("as much as it answers", 0.0))
"""Loads by name, as shares of the peak; 0 is a load that asks again when it is answered."""

TURNS = ("without", "with", "without again")
"""What a round measures, forwards and backwards in turn: what drifts, drifts through both."""


@dataclass(frozen=True, slots=True)
class Site:
    """A gateway that is measured, and where its files are."""

    place: Path
    server: LocalServer

    @property
    def body(self) -> Path:
        return self.place / "body.json"

    def progress(self) -> Progress:
        """Return how far its shadow is."""
        return Progress.read(Progress.place(self.place / "state", "m")) or Progress()


def run(quick: bool) -> Sequence[Row]:
    """Measure in rounds of a few seconds, with the shadow and without in turn."""
    return measure(rounds=1, seconds=1.0) if quick else measure()


def measure(rounds: int = 7, seconds: float = 4.0) -> Sequence[Row]:
    """Put each load on one gateway so many times with the shadow, and without; compare medians."""
    found: dict[tuple[str, str], list[Figures]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder)) as site:
        peak = loaded(site, seconds, 0.0)["per_second"]
        for number in range(rounds):
            for turn in TURNS[:: 1 if number % 2 else -1]:
                settle(site, shadow=turn == "with")
                for name, share in LOADS:
                    found[name, turn].append(loaded(site, seconds, share * peak))
                    if turn == "with":
                        abreast(site)
    figures = (("p99_ms", "ms"), ("p50_ms", "ms"), ("cpu_us", "us CPU/request"))
    return [row(found, name, key, unit) for name, _ in LOADS for key, unit in figures]


@contextmanager
def serving(place: Path) -> Iterator[Site]:
    """Serve the champion alone; the shadow's image is unpacked before."""
    (place / "body.json").write_bytes(request_body())
    route(place, shadow=True)
    server = start_gateway(
        GatewayConfig(
            state=str(place / "state"), routes=str(place / "routes"), parent=os.getpid(),
            predictions=str(place / "predictions"),
        )
    )  # fmt: skip
    try:
        site = Site(place, server)
        settle(site, shadow=True)
        settle(site, shadow=False)
        yield site
    finally:
        server.stop()


def loaded(site: Site, seconds: float, rate: float) -> Figures:
    """Load the gateway and return requests/s, latencies, and its own CPU per request.

    `mirrored` is which part of the requests the shadow had answered half a second later, when it
    has written down how far it is.
    """
    url, pid = f"{site.server.url}/v2/models/m/infer", site.server.pid
    before, answered = own_cpu_seconds(pid), site.progress().answered
    if rate:
        figures = paced(url, site.body, seconds, rate, CONNECTIONS)
    else:
        figures = load(url, site.body, seconds, CONNECTIONS)
    figures["cpu_us"] = 1e6 * (own_cpu_seconds(pid) - before) / figures["requests"]
    time.sleep(KEEP_S + BEAT_S)
    figures["mirrored"] = (site.progress().answered - answered) / figures["requests"]
    return figures


def row(found: Mapping[tuple[str, str], list[Figures]], name: str, key: str, unit: str) -> Row:
    """Compare medians."""

    def median(key: str, *turns: str) -> float:
        return statistics.median(f[key] for turn in turns for f in found[name, turn])

    ours, limit = median(key, "with"), median(key, "without", "without again")
    noise = median(key, "without again") / median(key, "without")
    note = (
        f"medians of {len(found[name, 'with'])} rounds, interleaved; without beside without "
        f"{noise:.2f}; {median('per_second', 'with'):,.0f} requests/s; the shadow answered "
        f"{min(1.0, median('mirrored', 'with')):.0%} meanwhile"
    )
    return Row(
        work=f"gateway with a shadow, {name}: {key}", ours=ours, limit=limit, ratio=ours / limit,
        target="<= 1.05", unit=unit, against="without", note=note,
    )  # fmt: skip


def route(place: Path, *, shadow: bool) -> str:
    """Write routes with the shadow or without, and return their version."""
    release = SHADOWED if shadow else ALONE
    champion = Route(arm="champion", image=made(place, 1), percent=100.0, release=release)
    beside = Route(arm="shadow", image=made(place, 2), percent=0.0, release=SHADOWED)
    routes = (champion, beside) if shadow else (champion,)
    return write_routes(place / "routes", Routes(model="m", salt="bench", routes=routes))


def settle(site: Site, *, shadow: bool) -> None:
    """Have the gateway serve with the shadow or without, and wait until it has come or gone."""
    version = route(site.place, shadow=shadow)
    while True:
        with urllib.request.urlopen(f"{site.server.url}/routes") as answer:
            if msgspec.json.decode(answer.read())["m"]["version"] == version:
                break
        time.sleep(0.02)
    if shadow:
        abreast(site)
    else:
        while len(tree(site.server.pid)) > 1:
            time.sleep(0.02)


def abreast(site: Site) -> None:
    """Wait until the shadow has answered all that was asked by now."""
    now = time.time_ns()
    while site.progress().abreast_ns < now:
        time.sleep(0.02)
