"""What each feature of the gateway costs: switched on one at a time, over one with nothing on.

One row of 20 floats to the logistic regression. Nothing on is one image, no log, everybody let in;
metrics are always counted. CPU is that of all processes, so a shadow's own is in it. A lookup asks
`predict` with the entity's id, where the others send their features to `infer`.
"""

from __future__ import annotations

import hashlib
import json
import os
import statistics
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Final

from bench import lookup
from bench._gateways import collector, running, traced
from bench._load import Figures, load
from bench._markdown import table
from bench._processes import cpu_seconds
from bench._servers import redis_url
from bench._ways import post
from bench.gateway import made, request_body
from bench.report import Row
from onward.core.ports import Secret
from onward.core.ports.callers import CALLERS_ENTRY, TOKENS
from onward.core.records import ImageRef, Logging, Route, Routes
from onward.infra.secrets.chain import open_secrets
from onward.stages.serve.gateway.settings import (
    CallerConfig,
    Factory,
    GatewayConfig,
    TelemetryConfig,
)
from onward.stages.serve.routes import write_routes

NOTHING: Final = "nothing on"
_ENOUGH: Final = 1_000_000  # requests a second: the limit counts, and refuses nobody


@dataclass(frozen=True, slots=True)
class Feature:
    """A gateway with one thing on, and how it is asked."""

    name: str
    config: GatewayConfig
    body: bytes = field(default_factory=request_body)
    route: str = "infer"
    headers: Mapping[str, str] = field(default_factory=dict)


def run(quick: bool) -> Sequence[Row]:
    return measure(rounds=1, seconds=0.5) if quick else measure(rounds=4, seconds=1.0)


def measure(
    rounds: int = 1,
    seconds: float = 0.5,
    loads: Sequence[int] = (64, 1),
    names: Sequence[str] | None = None,
) -> list[Row]:
    """Start a gateway per feature (or for those named), ask them in turns, and compare medians."""
    found: dict[tuple[str, int], list[Figures]] = {}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        place, url = Path(folder), stack.enter_context(redis_url())
        endpoint = stack.enter_context(collector())
        asked = []
        for feature in features(place, endpoint, url):
            if names is not None and feature.name not in (NOTHING, *names):
                continue
            model, pid = stack.enter_context(running(feature.config))
            at = model.removesuffix("infer") + feature.route
            _require_answer(feature, at)
            asked.append((feature, at, pid))
        body = place / "body.json"
        for number, connections in product(range(rounds + 1), loads):
            for feature, at, pid in asked[:: (-1, 1)[number % 2]]:
                body.write_bytes(feature.body)
                before = cpu_seconds(pid)
                figures = load(at, body, seconds, connections, feature.headers)
                figures["cpu_us"] = 1e6 * (cpu_seconds(pid) - before) / figures["requests"]
                if number:  # the first round warms up
                    found.setdefault((feature.name, connections), []).append(figures)
    medians = {
        key: {name: statistics.median(run[name] for run in runs) for name in runs[0]}
        for key, runs in found.items()
    }
    return list(_rows(medians, rounds))


def _require_answer(feature: Feature, url: str) -> None:
    status, answer = post(url, feature.body, dict(feature.headers))
    if status != 200:
        raise RuntimeError(f"{feature.name}: {status}, {answer.decode(errors='replace')}")


def _rows(medians: dict[tuple[str, int], Figures], rounds: int) -> Iterator[Row]:
    for (name, connections), on in medians.items():
        if name == NOTHING:
            continue
        off = medians[NOTHING, connections]
        yield Row(
            work=f"{name}, {connections} connection{'s' * (connections > 1)}",
            ours=on["cpu_us"], limit=off["cpu_us"], ratio=on["cpu_us"] / off["cpu_us"], target="",
            unit="us CPU/request",
            note=f"over nothing on: {on['cpu_us'] - off['cpu_us']:+.1f} us; requests/s"
            f" {on['per_second']:,.0f} / {off['per_second']:,.0f}, p99 {on['p99_ms']:.1f} /"
            f" {off['p99_ms']:.1f} ms, {on['failed']:.0f} failed; medians of {rounds}",
        )  # fmt: skip


def page(rows: Sequence[Row]) -> Iterator[str]:
    """Yield the table of `docs/benchmarks.md`: microseconds of CPU over those of nothing on."""
    cells = [row.work.split(", ") for row in rows]
    found = dict(zip(map(tuple, cells), rows, strict=True))
    loads = list(dict.fromkeys(load for _, load in cells))
    floor = {load: row.limit for (_, load), row in found.items()}
    lines = [[NOTHING, *(f"{floor[load]:.0f}" for load in loads)]]
    for name in dict.fromkeys(name for name, _ in cells):
        own = (found[name, load] for load in loads)
        lines.append([name, *(f"{(row.ours or 0) - (row.limit or 0):+.0f}" for row in own)])
    yield from table(["", *loads], lines)


def features(place: Path, endpoint: str, redis: str | None) -> Iterator[Feature]:
    """Yield a gateway with nothing on, then one for each thing that can be."""
    image = made(place, 1)

    def config(name: str, **options: object) -> GatewayConfig:
        chosen = {"image": image} | options
        state = str(place / name.replace(" ", "-"))
        return GatewayConfig(state=state, parent=os.getpid(), **chosen)  # type: ignore[arg-type]

    def logged(name: str) -> str:
        return str(place / f"{name}-predictions")

    yield Feature(NOTHING, config("nothing"))
    arms = (("champion", 75.0), ("candidate", 25.0))
    yield Feature("canary", config("canary", image=None, routes=_routes(place, image, *arms)))
    yield Feature("log fast", config("fast", predictions=logged("fast")))
    strict = Logging(guarantee="strict")
    yield Feature("log strict", config("strict", predictions=logged("strict"), logging=strict))
    mirrored = _routes(place, image, ("champion", 100.0), ("shadow", 0.0))
    yield Feature(
        "log fast and shadow",
        config("shadow", image=None, routes=mirrored, predictions=logged("shadow")),
    )
    lines = TelemetryConfig(access_log=str(place / "access.jsonl"))
    yield Feature("access log", config("access", telemetry=lines))
    yield Feature("traces of 1 %", config("traces", telemetry=traced(endpoint)))
    known = CallerConfig(knower=_knower(place))
    headers = {"Authorization": "Bearer bench"}
    yield Feature("token", config("token", callers=known), headers=headers)
    limited = CallerConfig(per_s=_ENOUGH, burst=_ENOUGH)
    yield Feature("rate limit", config("rate", callers=limited))
    own = place / "lookup"
    own.mkdir()
    viewed = made(own, 1, lookup.PLAN)
    body = json.dumps({"rows": [{"id": "one"}]}).encode()
    for name, store in lookup.stores(own, redis):
        opened = config(f"lookup-{name}", image=viewed, online=store, online_timeout_s=5.0)
        yield Feature(f"lookup from {name}", opened, body, "predict")


def _routes(place: Path, image: ImageRef, *arms: tuple[str, float]) -> str:
    folder = place / f"routes-{arms[-1][0]}"
    routes = tuple(
        Route(arm=arm, image=image, percent=percent, release="release:m@1")  # type: ignore[arg-type]
        for arm, percent in arms
    )
    write_routes(folder, Routes(model="m", salt="bench", routes=routes))
    return str(folder)


def _knower(place: Path) -> Factory:
    """Return what knows one caller by the token ``bench``."""
    places = {"keyfile": str(place / "secrets.json"), "folder": str(place / "secrets")}
    fingerprint = hashlib.sha256(b"bench").hexdigest()
    open_secrets(**places).keep(TOKENS, Secret(f"bench {fingerprint}"))  # type: ignore[arg-type]
    return Factory(entry=CALLERS_ENTRY, arguments=places)
