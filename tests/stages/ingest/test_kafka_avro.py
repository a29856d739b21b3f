"""Avro on Kafka: plain records with a declared schema, and Confluent's wire format."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from fastavro import schemaless_writer

import onward as ow
from onward.core.clock import SystemClock
from onward.core.errors import DataError, DeclarationError
from onward.infra.lake.iceberg import open_lake
from onward.stages.ingest.adapters.kafka import KafkaReader
from onward.stages.ingest.port import Surroundings
from onward.stages.ingest.step import ingest
from onward.stages.validate.step import audit
from services.kafka import Kafka

AT = datetime(2024, 1, 1, 12, tzinfo=UTC)


def logical(kind: str, meaning: str, **more: Any) -> dict[str, Any]:
    return {"type": kind, "logicalType": meaning, **more}


ORDER = {
    "type": "record",
    "name": "Order",
    "fields": [
        {"name": "id", "type": "long"},
        {"name": "at", "type": logical("long", "timestamp-micros")},
        {"name": "amount", "type": ["null", logical("bytes", "decimal", precision=9, scale=2)]},
        {"name": "day", "type": logical("int", "date")},
        {"name": "hour", "type": logical("int", "time-millis")},
        {"name": "kind", "type": {"type": "enum", "name": "Kind", "symbols": ["A", "B"]}},
        {"name": "tags", "type": {"type": "array", "items": "string"}},
        {"name": "either", "type": ["null", "string", "long"]},
        {"name": "never", "type": ["null", "double"]},
    ],
}
WIDER = {
    **ORDER,
    "fields": [*ORDER["fields"], {"name": "more", "type": "int"}],
}


def order(number: int, schema: dict[str, Any] = ORDER, **more: Any) -> bytes:
    out = io.BytesIO()
    row = {
        "id": number, "at": AT, "amount": Decimal("1.50"), "day": date(2024, 1, 1),
        "hour": time(12, 30), "kind": "B", "tags": ["x"], "either": 7, "never": None, **more,
    }  # fmt: skip
    schemaless_writer(out, schema, row)
    return out.getvalue()


def framed(number: int, record: bytes) -> bytes:
    return b"\0" + number.to_bytes(4, "big") + record


def take(folder: Path, origin: Any, run: str = "r") -> list[dict[str, Any]]:
    source = ow.Source("orders", origin, key="id", event_time="at")
    lake = open_lake(folder / "lake")
    reader = KafkaReader(Surroundings(folder=folder))
    batch = ingest(source, reader=reader, lake=lake, run=run)
    assert batch is not None
    audit(batch, (), lake=lake, clock=SystemClock(), required=("id", "at"))
    return sorted(lake.read("raw.orders").to_pylist(), key=lambda row: row["id"])


def quarantined(folder: Path) -> list[tuple[int, str]]:
    rows = open_lake(folder / "lake").read("quarantine.raw_orders").to_pylist()
    return sorted((row["kafka_offset"], row["_unreadable"]) for row in rows)


def test_columns_have_the_types_of_the_schema(kafka: Kafka, tmp_path: Path) -> None:
    (tmp_path / "order.avsc").write_text(json.dumps(ORDER))
    kafka.send("orders", order(1))
    origin = ow.kafka("orders", brokers=kafka.brokers, value="avro", schema="order.avsc")
    [row] = take(tmp_path, origin)
    types = {f.name: str(f.type) for f in open_lake(tmp_path / "lake").schema("raw.orders")}
    assert types == {
        "id": "int64", "at": "timestamp[us, tz=UTC]", "amount": "double", "day": "date32[day]",
        "hour": "time64[us]", "kind": "string", "tags": "string", "either": "string",
        "never": "double", "kafka_partition": "int64", "kafka_offset": "int64",
        "kafka_timestamp": "timestamp[us, tz=UTC]", "kafka_key": "string",
    }  # fmt: skip
    assert {k: v for k, v in row.items() if not k.startswith("kafka_")} == {
        "id": 1, "at": AT, "amount": 1.5, "day": date(2024, 1, 1), "hour": time(12, 30),
        "kind": "B", "tags": '["x"]', "either": "7", "never": None,
    }  # fmt: skip


def test_bytes_that_are_no_record_are_quarantined(kafka: Kafka, tmp_path: Path) -> None:
    origin = ow.kafka("orders", brokers=kafka.brokers, value="avro", schema=ORDER)
    kafka.send("orders", order(1), b"\x01", order(2) + b"!", b"", order(3))
    assert [row["id"] for row in take(tmp_path, origin)] == [1, 3]
    assert [offset for offset, _ in quarantined(tmp_path)] == [1, 2, 3]


class Registry:
    """A schema registry that knows what it is given; None breaks it."""

    def __init__(self) -> None:
        self.schemas: dict[int, str] | None = {}
        registry = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                number = int(self.path.rpartition("/")[2])
                if registry.schemas is None:
                    self.send_response(503)
                    self.end_headers()
                    return
                schema = registry.schemas.get(number)
                self.send_response(200 if schema else 404)
                self.end_headers()
                self.wfile.write(json.dumps({"schema": schema}).encode())

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def registry() -> Iterator[Registry]:
    found = Registry()
    thread = threading.Thread(target=found.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield found
    found.server.shutdown()
    thread.join()
    found.server.server_close()


def test_writers_schemas_come_from_the_registry(
    kafka: Kafka, registry: Registry, tmp_path: Path
) -> None:
    registry.schemas = {1: json.dumps(ORDER), 2: json.dumps(WIDER), 3: "no schema"}
    wide = framed(2, order(2, WIDER, more=5))
    bad = [order(3), framed(9, order(3)), framed(3, order(3)), framed(1, b"\x01")]
    kafka.send("orders", framed(1, order(1)), wide, *bad)
    origin = ow.kafka(
        "orders", brokers=kafka.brokers, value="avro", schema=ORDER, registry=registry.url
    )
    rows = take(tmp_path, origin)
    assert [row["id"] for row in rows] == [1, 2]
    assert "more" not in rows[1]  # the declared schema is the reader's
    assert [offset for offset, _ in quarantined(tmp_path)] == [2, 3, 4, 5]


def test_without_a_readers_schema_rows_are_what_was_written(
    kafka: Kafka, registry: Registry, tmp_path: Path
) -> None:
    registry.schemas = {2: json.dumps(WIDER)}
    kafka.send("orders", framed(2, order(2, WIDER, more=5)))
    origin = ow.kafka("orders", brokers=kafka.brokers, value="avro", registry=registry.url)
    [row] = take(tmp_path, origin)
    assert (row["more"], row["day"]) == (5, date(2024, 1, 1))


def test_a_registry_that_does_not_answer_takes_nothing_in(
    kafka: Kafka, registry: Registry, tmp_path: Path
) -> None:
    kafka.send("orders", framed(1, order(1)))
    registry.schemas = None
    origin = ow.kafka("orders", brokers=kafka.brokers, value="avro", registry=registry.url)
    with pytest.raises(DataError, match="registry does not answer"):
        take(tmp_path, origin)
    registry.schemas = {1: json.dumps(ORDER)}
    assert [row["id"] for row in take(tmp_path, origin)] == [1]


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        ("missing.avsc", "cannot be read"),
        ({"type": "nonsense"}, "cannot be read"),
        ({"type": "string"}, "describes no record"),
    ],
)
def test_a_schema_that_is_none_is_refused(
    kafka: Kafka, tmp_path: Path, schema: Any, says: str
) -> None:
    origin = ow.kafka("orders", brokers=kafka.brokers, value="avro", schema=schema)
    with pytest.raises(DeclarationError, match=says):
        take(tmp_path, origin)
