"""The guide to streams: its code, run against real servers."""

from __future__ import annotations

import json
import secrets
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import dlt
from ibis import _

import onward as ow
from marked_pages import guide
from onward.app.origins import find_readers
from onward.core.clock import SystemClock
from onward.core.records import ValidationReport
from onward.infra.lake.iceberg import open_lake
from onward.stages.ingest.port import Surroundings
from onward.stages.ingest.step import ingest
from onward.stages.validate.step import audit
from services.api import Api
from services.kafka import Kafka

GUIDE = guide("streams")


def declared(name: str, names: dict[str, Any] | None = None, **replaced: str) -> ow.Source:
    """Return the source that a marked block declares, with other addresses in it."""
    code = GUIDE.block(name)
    for text, other in replaced.items():
        assert text in code
        code = code.replace(text, other)
    module = sys.modules[f"guide_{name}"] = ModuleType(f"guide_{name}")  # dlt looks for it there
    vars(module).update({"ow": ow, "_": _, "dlt": dlt, **(names or {})})
    exec(compile(code, "streams.md", "exec"), vars(module))
    [source] = [value for value in vars(module).values() if isinstance(value, ow.Source)]
    return source


def publish(source: ow.Source, folder: Path) -> ValidationReport | None:
    """Take in what there is."""
    lake = open_lake(folder / "lake")
    filled = {"${env:SHOP_TOKEN}": "open"}
    around = Surroundings(folder=folder, fill=lambda text: filled.get(text, text))
    reader = find_readers(around)(source)
    batch = ingest(source, reader=reader, lake=lake, run=secrets.token_hex(4))
    if batch is None:
        return None
    return audit(batch, source.checks, lake=lake, clock=SystemClock(), required=source.key)


def test_the_topic_is_read(kafka: Kafka, tmp_path: Path) -> None:
    source = declared("kafka", **{"broker-1:9092,broker-2:9092": kafka.brokers})
    for number, amount in enumerate([5.5, -1.0]):
        row = {"payment_id": number, "paid_at": "2026-01-01T00:00:00Z", "amount": amount}
        kafka.send("payments", json.dumps(row).encode(), partition=number)
    report = publish(source, tmp_path)
    assert report is not None
    assert (report.rows_published, report.rows_quarantined) == (1, 1)


def test_the_endpoint_is_read(api: Api, tmp_path: Path) -> None:
    api.secret = "open"
    api.orders = [{"id": n, "at": f"2026-01-0{1 + n}T00:00:00Z"} for n in range(3)]
    source = declared("http", **{"https://api.example.com": api.url})
    report = publish(source, tmp_path)
    assert report is not None
    assert report.rows_published == 3
    assert publish(source, tmp_path) is None


def test_the_resource_is_read(tmp_path: Path) -> None:
    class Desk:
        rows: ClassVar = [
            {"id": 1, "changed_at": "2026-01-01"},
            {"id": 2, "changed_at": "2026-01-02"},
        ]

        def tickets(self, since: str | None) -> list[dict[str, Any]]:
            return [row for row in self.rows if since is None or row["changed_at"] >= since]

    source = declared("dlt", {"desk": Desk()})
    assert publish(source, tmp_path) is not None
    Desk.rows.append({"id": 1, "changed_at": "2026-01-03"})
    assert publish(source, tmp_path) is not None
    rows = open_lake(tmp_path / "lake").read("raw.support").to_pylist()
    assert {row["id"]: row["changed_at"].day for row in rows} == {1: 3, 2: 2}
    assert len(rows) == 2
