"""Materialization: rows/s into each online store, against its engine taking the same blobs."""

from __future__ import annotations

import sqlite3
import statistics
import tempfile
from collections.abc import Callable, Sequence
from itertools import count
from time import perf_counter

from bench._servers import redis_url
from bench.online import VIEW, table_of
from bench.report import Row
from onward.infra.online import redis, sqlite
from onward.infra.online.rows import encoded

_numbers = count()


def run(quick: bool = False) -> Sequence[Row]:
    """Write every entity's 20 features to an empty store."""
    entities, rounds = (10_000, 2) if quick else (200_000, 5)
    table = table_of(entities)
    blobs = list(encoded(VIEW, table))
    rows = []
    with tempfile.TemporaryDirectory() as folder, redis_url() as url:

        def ours_sqlite() -> Callable[[], object]:
            store = sqlite.open_store(f"{folder}/ours{next(_numbers)}.db")
            return lambda: (store.write(VIEW, table), store.close())

        def bare_sqlite() -> Callable[[], object]:
            db = sqlite3.connect(f"{folder}/bare{next(_numbers)}.db")
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("CREATE TABLE f (entity BLOB PRIMARY KEY, ts INT, row BLOB) WITHOUT ROWID")
            return lambda: (
                db.executemany("INSERT INTO f VALUES (?, ?, ?)", blobs), db.commit(), db.close(),
            )  # fmt: skip

        rows.append(_row("SQLite", "INSERT", entities, _taken(rounds, ours_sqlite, bare_sqlite)))
        if url is not None:
            from redis import Redis

            client = Redis.from_url(url)

            def ours_redis() -> Callable[[], object]:
                client.flushdb()
                store = redis.open_store(url)
                return lambda: (store.write(VIEW, table), store.close())

            def bare_redis() -> Callable[[], object]:
                client.flushdb()

                def write() -> None:
                    for start in range(0, len(blobs), 10_000):
                        pipeline = client.pipeline(transaction=False)
                        for entity, _, row in blobs[start : start + 10_000]:
                            pipeline.set(entity, row)
                        pipeline.execute()

                return write

            rows.append(
                _row("Redis", "pipelined SET", entities, _taken(rounds, ours_redis, bare_redis))
            )
    return rows


def _row(engine: str, how: str, entities: int, seconds: tuple[float, float]) -> Row:
    ours, limit = (entities / taken for taken in seconds)
    return Row(
        work=f"materialize {entities:,} x 20 features to {engine}",
        ours=ours, limit=limit, ratio=ours / limit, target="", unit="rows/s",
        note=f"limit: {how} of blobs that are encoded already, without asking which row is newer",
    )  # fmt: skip


def _taken(rounds: int, *makes: Callable[[], Callable[[], object]]) -> tuple[float, float]:
    """Return each work's median seconds, what prepares it not counted."""
    times: list[list[float]] = [[] for _ in makes]
    for _ in range(rounds):
        for make, taken in zip(makes, times, strict=True):
            work = make()
            start = perf_counter()
            work()
            taken.append(perf_counter() - start)
    ours, limit = (statistics.median(taken) for taken in times)
    return ours, limit
