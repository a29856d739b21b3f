"""A row that changes at its source: the table has the new version, training what was known."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from ibis import _

import onward as ow
from onward.core.clock import ReplayClock
from onward.core.records import DatasetRef, FeatureSetRef
from onward.infra.lake.iceberg import open_lake
from onward.infra.online.sqlite import open_store
from onward.stages.features.step import publish, training_set
from onward.stages.ingest.adapters.sql import SqlReader
from onward.stages.ingest.port import Surroundings
from onward.stages.ingest.step import ingest
from onward.stages.validate.step import audit

START = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)

customers = ow.Source(
    "customers",
    ow.sql("sqlite:///shop.db", "customers", cursor="changed_at", mode="upsert", lag="1h"),
    key="customer",
    event_time="joined_at",
    available_at="changed_at",
)


@ow.feature_view(entity="customer", ttl="3650d")
def standing(customers):
    return customers.select(
        "customer", event_time=_.joined_at, available_at=_.changed_at, tier=_.tier
    )


@ow.label(key="order_id", event_time="at", available_at="at")
def returned(orders):
    return orders


@ow.model(features=[standing], label=returned, task="binary")
def comes_back(X, y):
    return None


def test_features_are_joined_as_they_were_before_the_row_changed(tmp_path: Path) -> None:
    lake, clock = open_lake(tmp_path / "lake"), ReplayClock(START)
    reader = SqlReader(Surroundings(folder=tmp_path))

    def refresh(run: str) -> FeatureSetRef:
        batch = ingest(customers, reader=reader, lake=lake, run=run)
        assert batch is not None
        assert audit(batch, (), lake=lake, clock=clock, required=("customer",)).published
        return publish(
            standing, lake=lake, online=online, clock=clock, run=run,
            inputs={"customers": lake.dataset("raw.customers")},
        )  # fmt: skip

    def change(day: int, tier: float) -> None:
        clock.advance(START + day * DAY)
        values = (1, START.isoformat(), clock.now().isoformat(), tier)
        with closing(sqlite3.connect(tmp_path / "shop.db", isolation_level=None)) as database:
            database.execute(
                "CREATE TABLE IF NOT EXISTS customers (customer INTEGER PRIMARY KEY, "
                "joined_at TEXT, changed_at TEXT, tier REAL)"
            )
            database.execute("INSERT OR REPLACE INTO customers VALUES (?, ?, ?, ?)", values)

    with closing(open_store(str(tmp_path / "online.db"))) as online:
        change(day=0, tier=1.0)
        refresh("r1")
        first = lake.dataset("raw.customers").snapshot
        change(day=10, tier=2.0)
        view = refresh("r2")
        assert lake.read("raw.customers")["tier"].to_pylist() == [2.0]
        assert lake.read("raw.customers", snapshot=first)["tier"].to_pylist() == [1.0]

        at = [START + day * DAY for day in (5, 15)]
        orders = pa.table(
            {"order_id": ["a", "b"], "customer": [1, 1], "at": at, "returned": [0, 1]}
        )
        lake.append("raw.orders", orders, key="orders")
        dataset: DatasetRef = lake.dataset("raw.orders")
        made = training_set(
            comes_back, views={"standing": view}, lake=lake, inputs={"orders": dataset},
            as_of=START + 20 * DAY, folder=tmp_path,
        )  # fmt: skip
        rows = pq.read_table(tmp_path / made.path).to_pylist()
    assert [(row["order_id"], row["standing__tier"]) for row in rows] == [("a", 1.0), ("b", 2.0)]
