"""A lake in which orders come, change and go, and builds of transforms over them."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa
from ibis import _

import onward as ow
from onward.core.clock import ReplayClock
from onward.core.records import Batch, DatasetRef
from onward.infra.lake.iceberg import IcebergLake, open_lake
from onward.stages.transform.step import build
from onward.stages.validate.step import audit

CLOCK = ReplayClock(datetime(2026, 5, 1, tzinfo=UTC))
SCHEMA = pa.schema([("day", pa.date32()), ("customer", pa.string()), ("amount", pa.int64())])
ONE, TWO, THREE = date(2026, 1, 1), date(2026, 1, 2), date(2026, 1, 3)
Row = tuple[date | None, str, int]


def rows(*given: Row) -> pa.Table:
    columns = zip(*given, strict=True) if given else [[], [], []]
    return pa.table([pa.array(c, f.type) for c, f in zip(columns, SCHEMA, strict=True)], SCHEMA)


class Shop:
    """A lake with orders and people, and builds of one transform."""

    def __init__(self, folder: Path) -> None:
        self.lake: IcebergLake = open_lake(folder / "lake")
        self.folder = folder
        self.runs = 0
        people = pa.table({"customer": ["ann", "bob"], "country": ["NL", "PL"]})
        self.lake.append("raw.people", people, key="people")

    def add(self, *given: Row) -> None:
        self.runs += 1
        self.lake.append("raw.orders", rows(*given), key=f"add-{self.runs}")

    def put(self, mode: str, *given: Row) -> None:
        head = self.lake.head("raw.orders")
        wanted: dict[str, Any] = {"branch": "b", "mode": mode, "summary": {}, "key": ["day"]}
        self.lake.stage("raw.orders", rows(*given), **wanted)
        self.lake.publish("raw.orders", "b", expect=head and head.id)

    def inputs(self, transform: Any) -> dict[str, DatasetRef]:
        return {name: self.lake.dataset(f"raw.{name}") for name in transform.inputs}

    def build(self, transform: Any, **how: Any) -> Batch | None:
        self.runs += 1
        inputs = self.inputs(transform)
        batch = build(
            transform, lake=self.lake, inputs=inputs, folder=self.folder, run=f"r{self.runs}", **how
        )
        if batch is not None:
            audit(batch, transform.checks, lake=self.lake, clock=CLOCK)
        return batch

    def stored(self, transform: Any) -> Counter[Any]:
        return Counter(tuple(r.values()) for r in self.lake.read(transform.table).to_pylist())

    def full(self, transform: Any) -> Counter[Any]:
        """What the function gives for all rows at once, past the code under test."""
        tables = [ibis.memtable(self.lake.read(f"raw.{name}")) for name in transform.inputs]
        found = transform.function(*tables).to_pyarrow().to_pylist()
        return Counter(tuple(row.values()) for row in found)


@ow.transform(incremental=ow.by_partition("day"))
def daily(orders):
    return orders.group_by("day").aggregate(amount=_.amount.sum(), orders=_.count())


@ow.transform(incremental=ow.by_delta("orders"))
def dear(orders, people):
    return orders.filter(_.amount > 1).inner_join(people, "customer").select("day", "country")


def built(batch: Batch | None) -> tuple[Any, ...]:
    assert batch is not None
    values = batch.partitions.values if batch.partitions else None
    return (batch.mode, batch.rows, values)
