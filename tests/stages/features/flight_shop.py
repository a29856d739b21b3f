"""A lake with one raw table of flights, replaced at will, a view of it, and a clock in days."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
from ibis import _

import onward as ow
from onward.core.clock import ReplayClock
from onward.core.records import DatasetRef, FeatureSetRef
from onward.infra.lake.iceberg import IcebergLake
from onward.infra.online.sqlite import SqliteOnlineStore
from onward.stages.features.config import FeatureView
from onward.stages.features.step import publish

DAY = timedelta(days=1)
START = datetime(2013, 1, 1, tzinfo=UTC)
TIME = pa.timestamp("us", "UTC")


@ow.feature_view(entity="carrier", ttl="30d")
def delays(flights):
    return flights.select("carrier", event_time=_.at, available_at=_.known, delay=_.delay)


def flights(*rows: tuple[str | None, int, int, float | None]) -> pa.Table:
    """Rows of (carrier, day of the event, day it was known, delay)."""
    return pa.table(
        {
            "carrier": pa.array([r[0] for r in rows], pa.string()),
            "at": pa.array([START + r[1] * DAY for r in rows], TIME),
            "known": pa.array([START + r[2] * DAY for r in rows], TIME),
            "delay": pa.array([r[3] for r in rows], pa.float64()),
        }
    )


class Shop:
    """A lake with one raw table, replaced at will, and a clock in days."""

    def __init__(self, lake: IcebergLake, online: SqliteOnlineStore) -> None:
        self.lake, self.online, self.clock = lake, online, ReplayClock(START)
        self.runs = 0

    def holds(self, rows: pa.Table) -> Mapping[str, DatasetRef]:
        self.runs += 1
        head = self.lake.head("raw.flights")
        self.lake.stage("raw.flights", rows, branch="b", mode="replace", summary={})
        self.lake.publish("raw.flights", "b", expect=head.id if head else None)
        return {"flights": self.lake.dataset("raw.flights")}

    def publish(self, view: FeatureView, rows: pa.Table, *, day: int) -> FeatureSetRef:
        self.clock.advance(START + day * DAY)
        return self.again(view, self.holds(rows))

    def again(self, view: FeatureView, inputs: Mapping[str, DatasetRef]) -> FeatureSetRef:
        return publish(
            view, lake=self.lake, online=self.online, inputs=inputs, run=f"run-{self.runs}",
            clock=self.clock,
        )  # fmt: skip

    def stored(self, table: str = "features.delays_v1") -> list[tuple[Any, ...]]:
        """Rows of (carrier, event day, available day, delay)."""
        return sorted(
            (r["carrier"], (r["event_time"] - START) / DAY, (r["available_at"] - START) / DAY,
             r["delay"])
            for r in self.lake.read(table).to_pylist()
        )  # fmt: skip

    def served(self, found: FeatureSetRef, carrier: str, day: int) -> tuple[Any, ...] | None:
        [[row]] = self.online.read([(found.view, [(carrier,)])])
        if row is None or found.view.ttl_s is None:
            return None if row is None else row[1]
        oldest = START + day * DAY - timedelta(seconds=found.view.ttl_s)
        return row[1] if row[0] >= oldest.timestamp() * 1_000_000 else None
