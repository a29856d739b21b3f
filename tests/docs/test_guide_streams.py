"""The guide to streams: its code, run against real servers."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from ibis import _

import onward as ow
from onward.app.origins import find_readers
from onward.core.clock import SystemClock
from onward.infra.lake.iceberg import open_lake
from onward.stages.ingest.port import Surroundings
from onward.stages.ingest.step import ingest
from onward.stages.validate.step import audit
from services.kafka import Kafka

GUIDE = (Path(__file__).parents[2] / "docs" / "guide" / "streams.md").read_text()


def declared(name: str, **replaced: str) -> ow.Source:
    """Return the source that a marked block declares, with other addresses in it."""
    found = re.search(rf"<!-- docs: {name} -->\n```python\n(.*?)```", GUIDE, re.DOTALL)
    assert found is not None, name
    code = found[1]
    for text, other in replaced.items():
        assert text in code
        code = code.replace(text, other)
    names: dict[str, Any] = {"ow": ow, "_": _}
    exec(compile(code, "streams.md", "exec"), names)
    [source] = [value for value in names.values() if isinstance(value, ow.Source)]
    return source


def test_the_topic_is_read(kafka: Kafka, tmp_path: Path) -> None:
    source = declared("kafka", **{"broker-1:9092,broker-2:9092": kafka.brokers})
    for number, amount in enumerate([5.5, -1.0]):
        row = {"payment_id": number, "paid_at": "2026-01-01T00:00:00Z", "amount": amount}
        kafka.send("payments", json.dumps(row).encode(), partition=number)
    lake = open_lake(tmp_path / "lake")
    reader = find_readers(Surroundings(folder=tmp_path))(source)
    batch = ingest(source, reader=reader, lake=lake, run="r")
    assert batch is not None
    report = audit(batch, source.checks, lake=lake, clock=SystemClock(), required=source.key)
    assert (report.rows_published, report.rows_quarantined) == (1, 1)
