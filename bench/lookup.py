"""The gateway's predict route with a view of 20 features: from each store, against features sent.

One row a request, 64 connections, the same logistic regression. Where the caller sends the
features nothing is looked up; what a store adds to that is its cost on the request path. A server
is asked once per turn of the loop: `onward_online_reads_total` over the requests says how many
requests share a round trip.
"""

from __future__ import annotations

import json
import os
import re
import statistics
import tempfile
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from bench import gateway
from bench._servers import redis_url
from bench.gateway import FEATURES, Figures, measure, request_body, sample
from bench.report import Row
from onward.core.records import Column, FeaturePlan, ViewPlan
from onward.infra.online import redis, sqlite
from onward.stages.serve.gateway.process.local import start_gateway
from onward.stages.serve.gateway.settings import Factory, GatewayConfig

COLUMNS = tuple(f"f{i}" for i in range(FEATURES))
VIEW = ViewPlan(
    name="v", version=1, table="features.v_v1", entity=("id",), columns=COLUMNS, ttl_s=86_400.0
)
PLAN = FeaturePlan(
    columns=tuple(Column(name=f"v__{name}", dtype="double") for name in COLUMNS),
    views=(VIEW,),
    on_demand=(),
    request=(Column(name="id", dtype="string"),),
    key=("id",),
)


def run(quick: bool = False) -> Sequence[Row]:
    """Measure features that are sent, from SQLite and from Redis, in turn; compare medians."""
    rounds, seconds = (1, 1.0) if quick else (5, 4.0)
    with tempfile.TemporaryDirectory() as folder, redis_url() as url, ExitStack() as stack:
        place = Path(folder)
        servers = [("sent", *_served(place, "sent", None, stack))]
        for name, online in stores(place, url):
            servers.append((name, *_served(place, name, online, stack)))
        found: dict[str, list[Figures]] = {name: [] for name, *_ in servers}
        for _, base, path, pid, body in servers:
            measure(base + path, pid, body, 0.5)
        for _ in range(rounds):
            for name, base, path, pid, body in servers:
                before = _reads(base)
                figures = measure(base + path, pid, body, seconds)
                figures["reads"] = (_reads(base) - before) / figures["requests"]
                found[name].append(figures)
    medians = {
        name: {key: statistics.median(f[key] for f in figures) for key in figures[0]}
        for name, figures in found.items()
    }
    return list(_rows(medians, rounds))


def _rows(medians: dict[str, Figures], rounds: int) -> Iterator[Row]:
    sent = medians.pop("sent")
    for name, figures in medians.items():
        for key, unit, ratio in (
            ("per_second", "requests/s", figures["per_second"] / sent["per_second"]),
            ("cpu_us", "us CPU/request", figures["cpu_us"] / sent["cpu_us"]),
        ):
            yield Row(
                work=f"gateway, 64 connections, a view of {FEATURES} features from {name}",
                ours=figures[key], limit=sent[key], ratio=ratio, target="", unit=unit,
                note=f"limit: the features sent by the caller; {figures['reads']:.3f} reads of the"
                f" store a request; p50 {figures['p50_ms']:.1f}, p99 {figures['p99_ms']:.1f} ms,"
                f" {figures['failed']:.0f} failed; medians of {rounds}",
            )  # fmt: skip


def stores(place: Path, url: str | None) -> Iterator[tuple[str, Factory]]:
    """Fill each store with one row, and give what opens it."""
    now, values = datetime.now(UTC), sample()[0]
    row = pa.table(
        {
            "id": ["one"],
            "event_time": pa.array([now], pa.timestamp("us", "UTC")),
            **{name: [value] for name, value in zip(COLUMNS, values, strict=True)},
        }
    )
    path = str(place / "online.db")
    opened = [("SQLite", "sqlite", sqlite.open_store(path), {"path": path})]
    if url is not None:
        opened.append(("Redis", "redis", redis.open_store(url), {"url": url}))  # type: ignore[arg-type]
    for name, module, store, arguments in opened:
        store.write(VIEW, row)
        store.close()
        yield name, Factory(f"onward.infra.online.{module}:open_store", arguments)


def _served(
    place: Path, name: str, online: Factory | None, stack: ExitStack
) -> tuple[str, str, int, Path]:
    """Start a gateway; return its URL, the path to ask, its process and the request's body."""
    own = place / name
    own.mkdir()
    body = own / "body.json"
    plan = PLAN if online else gateway.PLAN
    body.write_bytes(json.dumps({"rows": [{"id": "one"}]}).encode() if online else request_body())
    config = GatewayConfig(
        state=str(own / "state"), image=gateway.made(own, 1, plan), parent=os.getpid(),
        online=online, online_timeout_s=5.0, predictions=str(own / "predictions"),
    )  # fmt: skip
    server = start_gateway(config)
    stack.callback(server.stop)
    return server.url, f"/v2/models/m/{'predict' if online else 'infer'}", server.pid, body


def _reads(url: str) -> float:
    with urllib.request.urlopen(f"{url}/metrics") as answer:
        text = answer.read().decode()
    found = re.search(r"^onward_online_reads_total (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else 0.0
