"""Historical features, joined on the event time, as Feast's documentation has it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bench._entrant import Found, Given, timed


def runs(given: Given) -> Iterator[Found]:
    import pandas as pd
    import pyarrow.parquet as pq
    from feast.value_type import ValueType

    from bench.peers.feast.repository import repository

    folder = Path(given["folder"])
    store = repository(
        given["views"], given["features"], folder=str(folder), ttl_days=given["ttl_days"],
        online={"type": "sqlite", "path": str(folder / "online.db")}, key=ValueType.INT64,
    )  # fmt: skip
    names = [f"v{i}:{f}" for i, _ in enumerate(given["views"]) for f in given["features"]]
    spine = pd.read_parquet(given["spine"]).rename(columns={"event_time": "event_timestamp"})
    file = str(folder / "joined.parquet")
    while True:
        with timed() as took:
            job = store.get_historical_features(spine, names, full_feature_names=True)
            joined = job.to_arrow()
        pq.write_table(joined, file)
        yield took | {"file": file}
