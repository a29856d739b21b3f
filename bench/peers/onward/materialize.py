"""The features room's materialization, from a view's table in the lake."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench._entrant import Found, Given, timed
from bench.peers.onward.view import VIEW
from onward.core.ports import Lake, OnlineStore


def sqlite(given: Given) -> Iterator[Found]:
    from onward.infra.online.sqlite import open_store

    numbers = iter(range(1_000))
    return _runs(given, lambda: open_store(f"{given['folder']}/{next(numbers)}.db"))


def redis(given: Given) -> Iterator[Found]:
    from redis import Redis

    from onward.infra.online.redis import open_store

    def opened() -> OnlineStore:
        Redis.from_url(given["url"]).flushdb()
        return open_store(given["url"])

    return _runs(given, opened)


def _runs(given: Given, opened: Callable[[], OnlineStore]) -> Iterator[Found]:
    from onward.stages.features.materialization import materialize

    lake = _published(given)
    while True:
        store, now = opened(), datetime.now(UTC)
        with timed() as took:
            materialize(VIEW, lake=lake, online=store, now=now)
        [rows] = store.read([(VIEW, [(entity,) for entity in given["asked"]])])
        store.close()
        yield took | {"found": [features for _, features in rows]}


def _published(given: Given) -> Lake:
    """Return a lake whose table of the view holds the file's rows, as publishing leaves them."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    from onward.infra.lake.iceberg import open_lake
    from onward.stages.features.point_in_time import IN_ORDER
    from onward.stages.features.versions import state

    rows: Any = pq.read_table(given["file"])
    newest = pc.max(rows["event_time"]).as_py()
    lake = open_lake(Path(given["folder"]) / "lake")
    said = state(
        entity=VIEW.entity, code="", definition="", inputs="", marked=True, known_by=newest,
        at=newest,
    )  # fmt: skip
    marked = rows.append_column(IN_ORDER, pa.array([True] * rows.num_rows))
    lake.append(VIEW.table, marked, key="bench", state=said)
    return lake
