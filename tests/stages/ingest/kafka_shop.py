"""A source of orders on a topic, and the lake that it goes to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import onward as ow
from onward.core.clock import SystemClock
from onward.core.records import ValidationReport
from onward.infra.lake.iceberg import IcebergLake, open_lake
from onward.stages.ingest.adapters.kafka import KafkaReader
from onward.stages.ingest.port import Surroundings
from onward.stages.ingest.step import ingest, pending
from onward.stages.validate.step import audit
from services.kafka import Kafka

AT = "2024-01-01T00:00:00Z"


def order(number: int, **more: Any) -> bytes:
    return json.dumps({"id": number, "at": AT, **more}).encode()


class Shop:
    """A source of orders on a topic, and the lake that it goes to."""

    def __init__(self, kafka: Kafka, folder: Path, **options: Any) -> None:
        batch = options.pop("micro_batch", None)
        change = options.pop("on_schema_change", "refuse")
        self.source = ow.Source(
            "orders",
            ow.kafka("orders", brokers=kafka.brokers, **options),
            key="id",
            event_time="at",
            micro_batch=batch,
            on_schema_change=change,
        )
        self.lake: IcebergLake = open_lake(folder / "lake")
        self.reader = KafkaReader(Surroundings(folder=folder))
        self._runs = 0

    def take(self, *, limited: bool = False) -> ValidationReport | None:
        """Take in what is there, or a micro-batch of it, and publish it."""
        self._runs += 1
        limits = self.source.micro_batch if limited else None
        run = f"r{self._runs}"
        batch = ingest(self.source, reader=self.reader, lake=self.lake, run=run, limits=limits)
        if batch is None:
            return None
        return audit(batch, (), lake=self.lake, clock=SystemClock(), required=("id", "at"))

    def pending(self) -> bool:
        return pending(self.source, reader=self.reader, lake=self.lake)

    def rows(self, table: str = "raw.orders") -> list[dict[str, Any]]:
        rows = self.lake.read(table).to_pylist()
        return sorted(rows, key=lambda row: (row["kafka_partition"], row["kafka_offset"]))

    def ids(self) -> list[int]:
        return sorted(row["id"] for row in self.rows())

    def offsets(self) -> dict[str, int]:
        return json.loads(self.lake.head("raw.orders").state["offsets"])
