"""The gateway's request path: all on, its log off and strict, nothing on, and FastAPI, in turn.

One row of 20 floats as Open Inference Protocol JSON to a scikit-learn logistic regression, 64
connections. "Everything on" is what production runs: routes with a canary, the durable prediction
log, metrics. "Log strict" waits for the disk, "log off" differs in that alone. "Nothing on" serves
one image and logs nothing. CPU comes from /proc, per server
process; the load generator is a process of its own (`wrk` if installed).
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import cloudpickle
import msgspec
import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression

from bench._load import Figures, load
from bench._model import write_estimator
from bench._processes import cpu_seconds
from bench._serving import Contestant, started
from bench.report import Row
from onward.core import digest
from onward.core.records import Column, FeaturePlan, ImageRef, Logging, ModelRef, Route, Routes
from onward.stages.deploy.step import package
from onward.stages.serve.gateway.process.local import start_gateway
from onward.stages.serve.gateway.settings import GatewayConfig
from onward.stages.serve.routes import write_routes

FEATURES = 20
CONNECTIONS = 64
PLAN = FeaturePlan(
    columns=tuple(Column(name=f"f{i}", dtype="double") for i in range(FEATURES)),
    views=(),
    on_demand=(),
    request=(Column(name="id", dtype="string"),),
    key=("id",),
)
PAIRS = (
    ("everything on", "log off", ""),
    ("log strict", "everything on", ">= 0.7"),
    ("everything on", "nothing on", ">= 0.7"),
    ("everything on", "fastapi", ">= 10"),
    ("everything on", "fastapi, async def", ""),
)
"""Whose figures stand beside whose, and the target of their ratio."""


class NoFeatures:
    """On-demand features of a model that has none."""

    plan = PLAN

    def columns(self, request: Any, features: Any = ()) -> dict[str, Any]:  # noqa: ARG002 (the port's)
        return {}


def run(quick: bool) -> Sequence[Row]:
    """Measure every server in turn, several rounds, and compare medians."""
    rounds, seconds = (1, 1.0) if quick else (5, 4.0)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        place = Path(folder)
        body = place / "body.json"
        body.write_bytes(request_body())
        servers = [
            stack.enter_context(server(place))
            for server in (everything_on, log_strict, log_off, nothing_on, fastapi, fastapi_async)
        ]
        found: dict[str, list[Figures]] = {name: [] for name, _, _ in servers}
        for _, url, pid in servers:
            measure(url, pid, body, 0.5)
        for _ in range(rounds):
            for name, url, pid in servers:
                found[name].append(measure(url, pid, body, seconds))
    medians = {
        name: {key: statistics.median(f[key] for f in figures) for key in figures[0]}
        for name, figures in found.items()
    }
    return [*rows(medians, rounds)]


def rows(medians: dict[str, Figures], rounds: int) -> Iterator[Row]:
    """Yield requests/s and CPU per request beside each other server's; ratios: higher is better."""
    for who, name, target in PAIRS:
        on, other = medians[who], medians[name]
        note = "; ".join(
            f"{one}: p50 {f['p50_ms']:.1f}, p99 {f['p99_ms']:.1f} ms, {f['failed']:.0f} failed"
            for one, f in ((who, on), (name, other))
        )
        work = f"gateway, {CONNECTIONS} connections, {who} vs {name}"
        for key, unit, ratio in (
            ("per_second", "requests/s", on["per_second"] / other["per_second"]),
            ("cpu_us", "us CPU/request", other["cpu_us"] / on["cpu_us"]),
        ):
            yield Row(
                work=work, ours=on[key], limit=other[key], ratio=ratio, target=target, unit=unit,
                note=f"medians of {rounds}; {note}",
            )  # fmt: skip


def measure(url: str, pid: int, body: Path, seconds: float) -> Figures:
    """Load one server and return requests/s, latencies, and its CPU per request."""
    before = cpu_seconds(pid)
    figures = load(url, body, seconds, CONNECTIONS)
    figures["cpu_us"] = 1e6 * (cpu_seconds(pid) - before) / figures["requests"]
    return figures


def request_body() -> bytes:
    chance = np.random.default_rng(0)
    data = chance.normal(size=FEATURES).round(4).tolist()
    tensor = {"name": "input", "shape": [1, FEATURES], "datatype": "FP64", "data": data}
    return json.dumps({"inputs": [tensor]}).encode()


# ---------------------------------------------------------------- servers


@contextmanager
def everything_on(place: Path) -> Iterator[tuple[str, str, int]]:
    yield from gateway("everything on", routed(place, "on", predictions=str(place / "fast")))


@contextmanager
def log_strict(place: Path) -> Iterator[tuple[str, str, int]]:
    strict = Logging(guarantee="strict")
    config = routed(place, "strict", predictions=str(place / "strict-log"), logging=strict)
    yield from gateway("log strict", config)


@contextmanager
def log_off(place: Path) -> Iterator[tuple[str, str, int]]:
    yield from gateway("log off", routed(place, "unlogged"))


def routed(place: Path, state: str, **options: Any) -> GatewayConfig:
    images = [made(place, version) for version in (1, 2)]
    arms = zip(("champion", "candidate"), images, (75.0, 25.0), strict=True)
    routes = tuple(
        Route(arm=arm, image=image, percent=percent, release=f"release:m@{i}")  # type: ignore[arg-type]  # literals
        for i, (arm, image, percent) in enumerate(arms)
    )
    write_routes(place / "routes", Routes(model="m", salt="bench", routes=routes))
    return GatewayConfig(
        state=str(place / state), routes=str(place / "routes"), parent=os.getpid(), **options
    )


@contextmanager
def nothing_on(place: Path) -> Iterator[tuple[str, str, int]]:
    config = GatewayConfig(state=str(place / "off"), image=made(place, 1), parent=os.getpid())
    yield from gateway("nothing on", config)


def gateway(name: str, config: GatewayConfig) -> Iterator[tuple[str, str, int]]:
    server = start_gateway(config)
    try:
        yield name, f"{server.url}/v2/models/m/infer", server.pid
    finally:
        server.stop()


@contextmanager
def fastapi(place: Path) -> Iterator[tuple[str, str, int]]:
    yield from bare("fastapi", "def", place)


@contextmanager
def fastapi_async(place: Path) -> Iterator[tuple[str, str, int]]:
    yield from bare("fastapi, async def", "async", place)


def bare(name: str, mode: str, place: Path) -> Iterator[tuple[str, str, int]]:
    model = place / "model.json"
    write_estimator(fitted(sample()), model)
    contestant = Contestant(name=name, peer="fastapi", more=(mode,))
    with started(contestant, model, 1, sample()[:1]) as server:
        yield name, server.addresses["REST"], server.pid


# ---------------------------------------------------------------- the model


def sample() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(2_000, FEATURES))


def fitted(rows: Any) -> LogisticRegression:
    return LogisticRegression().fit(rows, sample()[:, 0] > 0)


def made(place: Path, version: int, plan: FeaturePlan = PLAN) -> ImageRef:
    folder = place / "trained"
    if not folder.is_dir():
        folder.mkdir()
        frame = pd.DataFrame(sample(), columns=[c.name for c in plan.columns])
        estimator = fitted(frame)
        golden = {
            "rows": [{"id": f"g{i}"} for i in range(32)],
            "features": frame[:32].to_numpy().tolist(),
            "predictions": estimator.predict_proba(frame[:32])[:, 1].tolist(),
            "tolerance": 1e-9,
        }
        cloudpickle.register_pickle_by_value(sys.modules[__name__])
        (folder / "model.pkl").write_bytes(cloudpickle.dumps(estimator))
        (folder / "request_features.pkl").write_bytes(cloudpickle.dumps(NoFeatures()))
        planned = {"plan": plan, "task": "binary", "model": "m", "label": "y"}
        (folder / "plan.json").write_bytes(msgspec.json.encode(planned))
        (folder / "golden.json").write_text(json.dumps(golden))
    model = ModelRef(
        name="m", version=1, path=str(folder), digest=digest.of_folder(folder),
        trained="trained:bench", card="",
    )  # fmt: skip
    return package(replace(model, version=version), folder=place / "images")
