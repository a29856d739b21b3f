"""The newest rows by DuckDB from Parquet, encoded, into SQLite or Redis as fast as they take them.

Nothing is kept of what was written before, and no older row is kept from replacing a newer one.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

from bench._entrant import Found, Given, timed
from bench.peers.bare.online import decoded_rows
from bench.peers.onward.view import COLUMNS, VIEW, encoded, keys_of


def sqlite(given: Given) -> Iterator[Found]:
    for number in range(1_000):
        db = sqlite3.connect(f"{given['folder']}/{number}.db")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("CREATE TABLE f (entity BLOB PRIMARY KEY, ts INT, row BLOB) WITHOUT ROWID")
        with timed() as took, db:
            db.executemany("INSERT INTO f VALUES (?, ?, ?)", encoded(VIEW, _newest(given)))
        one = "SELECT row FROM f WHERE entity = ?"
        rows = [db.execute(one, (key,)).fetchone()[0] for key in keys_of(given["asked"])]
        db.close()
        yield took | {"found": decoded_rows(rows)}


def redis(given: Given) -> Iterator[Found]:
    from redis import Redis

    client: Any = Redis.from_url(given["url"])
    while True:
        client.flushdb()
        with timed() as took:
            pipeline = client.pipeline(transaction=False)
            for number, (key, _, row) in enumerate(encoded(VIEW, _newest(given)), start=1):
                pipeline.set(key, row)
                if number % 10_000 == 0:
                    pipeline.execute()
            pipeline.execute()
        yield took | {"found": decoded_rows(client.mget(keys_of(given["asked"])))}


def _newest(given: Given) -> Any:
    import duckdb

    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        return connection.execute(
            f"SELECT entity, event_time, {', '.join(COLUMNS)} FROM read_parquet(?) QUALIFY"
            " row_number() OVER (PARTITION BY entity ORDER BY event_time DESC) = 1",
            [given["file"]],
        ).to_arrow_table()
