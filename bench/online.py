"""Online lookup: the store against SQLite handing out the same blobs and nothing else."""

from __future__ import annotations

import random
import sqlite3
import statistics
import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter_ns

import msgspec
import numpy as np
import pyarrow as pa

from bench.report import Row
from onward.core.records import ViewPlan
from onward.infra.online.rows import key
from onward.infra.online.sqlite import open_store

COLUMNS = tuple(f"f{i}" for i in range(20))
VIEW = ViewPlan(
    name="bench", version=1, table="features.bench_v1", entity=("entity",), columns=COLUMNS,
    ttl_s=30 * 86_400.0,
)  # fmt: skip
AT = datetime(2013, 6, 1, tzinfo=UTC)


def run(quick: bool = False) -> Sequence[Row]:
    """Look up one entity, and a hundred, of 20 features each."""
    entities, rounds = (5_000, 20) if quick else (100_000, 300)
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "online.db")
        store = open_store(path)
        store.write(VIEW, _rows(entities))
        bare = sqlite3.connect(path, isolation_level=None)
        chosen = random.Random(0)
        rows = []
        for batch, repeat in ((1, 200), (100, 10)):
            asked = [
                [(f"entity-{chosen.randrange(entities)}",) for _ in range(batch)]
                for _ in range(repeat)
            ]
            keys = [[key(entity) for entity in some] for some in asked]
            query = _plainest(batch)
            ours, raw, decoded = _interleaved(
                rounds,
                lambda asked=asked: [store.read([(VIEW, some)]) for some in asked],
                lambda keys=keys, query=query: [bare.execute(query, k).fetchall() for k in keys],
                lambda keys=keys, query=query: [
                    [msgspec.msgpack.decode(row[-1]) for row in bare.execute(query, k)]
                    for k in keys
                ],
            )
            work = f"online lookup, {batch} x 20 features of {entities:,} entities"
            for limit, target, what in (
                (raw, "<= 1.3", "SQLite fetching the same blobs, undecoded"),
                (decoded, "", "the same, decoded"),
            ):
                rows.append(
                    Row(
                        work=work, ours=ours / repeat / 1e3, limit=limit / repeat / 1e3,
                        ratio=ours / limit, target=target, unit="us",
                        note=f"limit: {what}; median of {rounds} interleaved rounds",
                    )
                )  # fmt: skip
        bare.close()
        store.close()
    return rows


def _plainest(batch: int) -> str:
    """Return the least that answers: of several rows one must know whose each is."""
    if batch == 1:
        return "SELECT row FROM features WHERE view = 1 AND entity = ?"
    places = ", ".join("?" * batch)
    return f"SELECT entity, row FROM features WHERE view = 1 AND entity IN ({places})"


def _rows(entities: int) -> pa.Table:
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
