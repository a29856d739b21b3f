"""Our online stores, asked as the gateway asks them."""

from __future__ import annotations

from collections.abc import Iterator

from bench._entrant import Found, Given, timed
from onward.core.ports import OnlineStore


def sqlite(given: Given) -> Iterator[Found]:
    from onward.infra.online.sqlite import open_store

    return _answers(open_store(f"{given['folder']}/online.db"), given)


def redis(given: Given) -> Iterator[Found]:
    from onward.infra.online.redis import open_store

    return _answers(open_store(given["url"]), given)


def _answers(store: OnlineStore, given: Given) -> Iterator[Found]:
    import pyarrow.parquet as pq

    from bench.peers.onward.view import VIEW

    store.write(VIEW, pq.read_table(given["file"]))
    asked = [[(entity,) for entity in some] for some in given["asked"]]
    while True:
        with timed() as took:
            found = [store.read([(VIEW, some)]) for some in asked]
        yield took | {"found": [features for _, features in found[0][0]]}
