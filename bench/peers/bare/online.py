"""SQLite and redis-py over the same blobs, handed out as they are, or decoded."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from bench._entrant import Found, Given, timed
from bench.peers.onward.view import VIEW, encoded, keys_of

Fetched = Sequence[bytes] | Mapping[bytes, bytes]
Fetch = Callable[[Sequence[bytes]], Fetched]

_decode = msgspec.msgpack.decode


def sqlite(given: Given) -> Iterator[Found]:
    return _raw(_sqlite(given), given)


def sqlite_decoded(given: Given) -> Iterator[Found]:
    return _decoded(_sqlite(given), given)


def redis(given: Given) -> Iterator[Found]:
    return _raw(_redis(given), given)


def redis_decoded(given: Given) -> Iterator[Found]:
    return _decoded(_redis(given), given)


def _raw(fetch: Fetch, given: Given) -> Iterator[Found]:
    asked = [keys_of(some) for some in given["asked"]]
    while True:
        with timed() as took:
            found = [fetch(some) for some in asked]
        yield took | {"found": decoded_rows(_in_order(found[0], asked[0]))}


def _decoded(fetch: Fetch, given: Given) -> Iterator[Found]:
    asked = [keys_of(some) for some in given["asked"]]
    while True:
        with timed() as took:
            found = [decoded_rows(_in_order(fetch(some), some)) for some in asked]
        yield took | {"found": found[0]}


def _in_order(found: Fetched, keys: Sequence[bytes]) -> Sequence[bytes]:
    return [found[key] for key in keys] if isinstance(found, dict) else found


def decoded_rows(blobs: Sequence[bytes]) -> list[Any]:
    return [_decode(blob)[1] for blob in blobs]


def _blobs(file: str) -> list[tuple[bytes, int, bytes]]:
    """Return every row's key, event time and features, as our stores keep them."""
    import pyarrow.parquet as pq

    return list(encoded(VIEW, pq.read_table(file)))


def _sqlite(given: Given) -> Fetch:
    """Return the least that answers: of several rows one must know whose each is."""
    db = sqlite3.connect(f"{given['folder']}/online.db", isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute(
        "CREATE TABLE IF NOT EXISTS features (view INT, entity BLOB, ts INT, row BLOB,"
        " PRIMARY KEY (view, entity)) WITHOUT ROWID"
    )
    with db:
        db.execute("BEGIN")
        db.executemany("INSERT OR REPLACE INTO features VALUES (1, ?, ?, ?)", _blobs(given["file"]))
    one = "SELECT row FROM features WHERE view = 1 AND entity = ?"
    places = ", ".join("?" * len(given["asked"][0]))
    many = f"SELECT entity, row FROM features WHERE view = 1 AND entity IN ({places})"

    def fetch(keys: Sequence[bytes]) -> Sequence[bytes]:
        if len(keys) == 1:
            return db.execute(one, keys).fetchone()
        return dict(db.execute(many, keys))

    return fetch


def _redis(given: Given) -> Fetch:
    """Return GET for one, MGET for more, by the library's client."""
    from redis import Redis

    client: Any = Redis.from_url(given["url"])
    client.mset({b"bare:" + key: row for key, _, row in _blobs(given["file"])})

    def fetch(keys: Sequence[bytes]) -> Sequence[bytes]:
        names = [b"bare:" + each for each in keys]
        return [client.get(names[0])] if len(names) == 1 else client.mget(names)

    return fetch
