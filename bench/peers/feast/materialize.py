"""Feast's materialization, from a Parquet file by its DuckDB offline store."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from bench._entrant import Found, Given, timed
from bench.peers.feast.online import address, opened, rows_of


def sqlite(given: Given) -> Iterator[Found]:
    for number in range(1_000):
        yield _run(given, {"type": "sqlite", "path": f"{given['folder']}/{number}.db"})


def redis(given: Given) -> Iterator[Found]:
    from redis import Redis

    while True:
        Redis.from_url(given["url"]).flushdb()
        yield _run(given, {"type": "redis", "connection_string": address(given["url"])})


def _run(given: Given, online: dict[str, Any]) -> Found:
    store = opened(given, online)
    with timed() as took:
        store.materialize(datetime(2000, 1, 1, tzinfo=UTC), datetime.now(UTC))
    names = [f"v0:{feature}" for feature in given["features"]]
    answer = store.get_online_features(names, [{"entity": each} for each in given["asked"]])
    return took | {"found": rows_of(answer.to_dict(), given)}
