"""Online lookup: each store against its engine handing out the same blobs and nothing else."""

from __future__ import annotations

import random
import sqlite3
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter_ns
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from bench._servers import redis_url
from bench.report import Row
from onward.core.ports import OnlineStore
from onward.core.records import ViewPlan
from onward.infra.online import redis, sqlite
from onward.infra.online.rows import key

COLUMNS = tuple(f"f{i}" for i in range(20))
VIEW = ViewPlan(
    name="bench", version=1, table="features.bench_v1", entity=("entity",), columns=COLUMNS,
    ttl_s=30 * 86_400.0,
)  # fmt: skip
AT = datetime(2013, 6, 1, tzinfo=UTC)
BATCHES = ((1, 200), (100, 10))

Fetch = Callable[[Sequence[bytes]], object]


def run(quick: bool = False) -> Sequence[Row]:
    """Look up one entity, and a hundred, of 20 features each."""
    entities, rounds = (5_000, 20) if quick else (100_000, 300)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder, redis_url() as url:
        path = str(Path(folder) / "online.db")
        store: OnlineStore = sqlite.open_store(path)
        store.write(VIEW, table_of(entities))
        bare = sqlite3.connect(path, isolation_level=None)
        rows += _measured("SQLite", store, _sqlite_limits(bare), entities, rounds)
        bare.close()
        store.close()
        if url is not None:
            store = redis.open_store(url)
            store.write(VIEW, table_of(entities))
            rows += _measured("Redis", store, _redis_limits(url), entities, rounds)
            store.close()
    return rows


def _measured(
    engine: str,
    store: OnlineStore,
    limits: Sequence[tuple[str, str, Fetch]],
    entities: int,
    rounds: int,
) -> Iterator[Row]:
    chosen = random.Random(0)
    for batch, repeat in BATCHES:
        asked = [
            [(f"entity-{chosen.randrange(entities)}",) for _ in range(batch)] for _ in range(repeat)
        ]
        keys = [[key(entity) for entity in some] for some in asked]

        def ours(asked: list[list[tuple[str]]] = asked) -> object:
            return [store.read([(VIEW, some)]) for some in asked]

        def bare(fetch: Fetch, keys: list[list[bytes]] = keys) -> Callable[[], object]:
            return lambda: [fetch(some) for some in keys]

        taken, *others = _interleaved(rounds, ours, *(bare(fetch) for _, _, fetch in limits))
        for (what, target, _), limit in zip(limits, others, strict=True):
            yield Row(
                work=f"online lookup on {engine}, {batch} x 20 features of {entities:,} entities",
                ours=taken / repeat / 1e3, limit=limit / repeat / 1e3, ratio=taken / limit,
                target=target, unit="us",
                note=f"limit: {what}; median of {rounds} interleaved rounds",
            )  # fmt: skip


def _sqlite_limits(db: sqlite3.Connection) -> Sequence[tuple[str, str, Fetch]]:
    """The least that answers: of several rows one must know whose each is."""
    one = "SELECT row FROM features WHERE view = 1 AND entity = ?"
    places = ", ".join("?" * 100)
    many = f"SELECT entity, row FROM features WHERE view = 1 AND entity IN ({places})"

    def raw(keys: Sequence[bytes]) -> object:
        return db.execute(one if len(keys) == 1 else many, keys).fetchall()

    def decoded(keys: Sequence[bytes]) -> object:
        found = db.execute(one if len(keys) == 1 else many, keys)
        return [msgspec.msgpack.decode(row[-1]) for row in found]

    return (
        ("SQLite fetching the same blobs, undecoded", "<= 1.3", raw),
        ("the same, decoded", "", decoded),
    )


def _redis_limits(url: str) -> Sequence[tuple[str, str, Fetch]]:
    """GET for one, MGET for more, by the library's client."""
    from redis import Redis

    client = Redis.from_url(url)
    prefix = f"onward:{VIEW.ref}:".encode()

    def raw(keys: Sequence[bytes]) -> Any:
        names = [prefix + each for each in keys]
        return client.get(names[0]) if len(names) == 1 else client.mget(names)

    def decoded(keys: Sequence[bytes]) -> object:
        found = raw(keys)
        return [msgspec.msgpack.decode(blob[8:]) for blob in (found if len(keys) > 1 else [found])]

    return (
        ("redis-py GET or MGET of the same blobs, undecoded", "<= 1.3", raw),
        ("the same, decoded", "", decoded),
    )


def table_of(entities: int) -> pa.Table:
    """Return rows of `entities` entities with 20 features."""
    values = np.random.default_rng(0).normal(size=(len(COLUMNS), entities))
    return pa.table(
        {
            "entity": [f"entity-{i}" for i in range(entities)],
            "event_time": pa.array([AT] * entities, pa.timestamp("us", "UTC")),
            **dict(zip(COLUMNS, values, strict=True)),
        }
    )


def _interleaved(rounds: int, *works: Callable[[], object]) -> list[float]:
    """Return each work's median nanoseconds, every round running all of them in turn."""
    times: list[list[int]] = [[] for _ in works]
    for _ in range(rounds):
        for work, taken in zip(works, times, strict=True):
            start = perf_counter_ns()
            work()
            taken.append(perf_counter_ns() - start)
    return [statistics.median(taken) for taken in times]
