"""Topics of Kafka: every message is a row, or in quarantine with its position."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kafka_shop import Shop, order

import onward as ow
from onward.core.clock import SystemClock
from onward.core.errors import DataError, DeclarationError
from onward.infra.lake.iceberg import open_lake
from onward.infra.masks.masks import open_masks
from onward.stages.ingest.adapters.kafka import KafkaReader
from onward.stages.ingest.port import Surroundings
from onward.stages.ingest.step import ingest, pending
from onward.stages.validate.step import audit
from services.kafka import Kafka


@pytest.fixture
def shop(kafka: Kafka, tmp_path: Path) -> Shop:
    return Shop(kafka, tmp_path)


def test_a_row_has_its_fields_and_its_position(kafka: Kafka, shop: Shop) -> None:
    kafka.send("orders", order(1, items=[{"sku": "a"}], amount=2.5), partition=2, key=b"k\xff")
    shop.take()
    [row] = shop.rows()
    assert (row["id"], row["amount"], row["items"]) == (1, 2.5, '[{"sku":"a"}]')
    assert (row["kafka_partition"], row["kafka_offset"], row["kafka_key"]) == (2, 0, "k\\xff")
    assert row["kafka_timestamp"].year >= 2024
    assert shop.offsets() == {"0": 0, "1": 0, "2": 1, "3": 0}


POISON = [
    b"\xff\x00{",
    b"",
    b"[1, 2]",
    b'{"id": 3',
    b'{"id": 3} {"id": 4}',
    b'{"id": 3, "at": NaN}',
    b'{"id": 3, "": 1}',
    b'{"id": 3, "ID": 4}',
    b'{"id": 3, "_run": "r"}',
    b'{"id": 3, "kafka_offset": 7}',
    b'{"id":' + b"[" * 5000 + b"]" * 5000 + b"}",
]


def test_a_poison_message_is_quarantined_where_it_stood(kafka: Kafka, shop: Shop) -> None:
    kafka.send("orders", order(1), *POISON, None, order(2), key=b"k")
    report = shop.take()
    assert report is not None
    assert (report.rows_published, report.rows_quarantined) == (2, len(POISON) + 1)
    assert shop.ids() == [1, 2]
    bad = shop.rows("quarantine.raw_orders")
    assert [row["kafka_offset"] for row in bad] == list(range(1, len(POISON) + 2))
    assert bad[0]["_unreadable"] == "value=\\xff\x00{"
    assert bad[2]["_unreadable"] == "value=[1, 2]"
    assert bad[-1]["_unreadable"] == "value=(none)"
    assert {row["kafka_key"] for row in bad} == {"k"}
    assert all("values are readable" in row["_reasons"] for row in bad)
    assert not shop.pending()
    assert shop.take() is None


def test_a_batch_of_poison_alone_moves_on(kafka: Kafka, shop: Shop) -> None:
    kafka.send("orders", order(1))
    shop.take()
    kafka.send("orders", b"x", b"y")
    report = shop.take()
    assert report is not None
    assert (report.rows_published, report.rows_quarantined) == (0, 2)
    assert shop.offsets()["0"] == 3
    kafka.send("orders", order(2))
    shop.take()
    assert shop.ids() == [1, 2]


def test_a_topic_without_any_row_says_what_is_wrong(kafka: Kafka, shop: Shop) -> None:
    kafka.send("orders", b"x", b"y")
    with pytest.raises(DataError, match="none of the first 2 messages") as refused:
        shop.take()
    assert "value=" in str(refused.value.next_step)
    kafka.send("orders", order(1))  # with a row among them the columns are known
    report = shop.take()
    assert report is not None
    assert (report.rows_published, report.rows_quarantined) == (1, 2)


def test_a_value_of_another_type_is_quarantined(kafka: Kafka, shop: Shop) -> None:
    kafka.send("orders", order(1, amount=1.5))
    shop.take()
    kafka.send("orders", order(2, amount="much"), b"x", order(3, amount=2))
    shop.take()
    assert shop.ids() == [1, 3]
    unreadable = [row["_unreadable"] for row in shop.rows("quarantine.raw_orders")]
    assert unreadable == ["amount=much", "value=x"]


def test_a_topic_that_is_not_there_is_named_and_not_made(kafka: Kafka, tmp_path: Path) -> None:
    kafka.send("order", order(1))
    shop = Shop(kafka, tmp_path)
    with pytest.raises(DataError, match="there is no topic 'orders'") as refused:
        shop.take()
    assert "did you mean 'order'?" in str(refused.value.expected)
    with pytest.raises(DataError):
        shop.pending()


def test_another_declaration_of_the_source_gets_clients_of_its_own(
    kafka: Kafka, tmp_path: Path
) -> None:
    first, second = Shop(kafka, tmp_path), Shop(kafka, tmp_path, group="other")
    kafka.send("orders", order(1))
    first.take()
    second.reader = first.reader
    kafka.send("orders", order(2))
    second.take()
    assert second.ids() == [1, 2]


def test_a_setting_that_librdkafka_does_not_know_is_refused(kafka: Kafka, tmp_path: Path) -> None:
    shop = Shop(kafka, tmp_path, settings={"no.such.setting": "1"})
    with pytest.raises(DeclarationError, match=r"no\.such\.setting"):
        shop.pending()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"value": "xml"}, "no value of a topic 'xml'"),
        ({"on_lost": "skip"}, "no on_lost of a topic 'skip'"),
        ({"value": "avro"}, "no schema"),
        ({"schema": "order.avsc"}, "with a schema"),
    ],
)
def test_a_declaration_that_cannot_be_is_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(DeclarationError, match=says) as refused:
        ow.kafka("orders", brokers=["a:1", "b:1"], **options)
    assert refused.value.location is not None


def test_a_password_is_not_shown() -> None:
    origin = ow.kafka("orders", brokers=["a:1", "b:1"], settings={"sasl.password": "hunter2"})
    assert "hunter2" not in repr(origin)
    assert origin.brokers == "a:1,b:1"


@pytest.mark.parametrize("options", [{"rows": 0}, {"bytes": 0}, {"wait": "0s"}, {"wait": "soon"}])
def test_a_micro_batch_of_nothing_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(DeclarationError):
        ow.micro_batch(**options)


def test_settings_are_filled_for_the_client_alone(kafka: Kafka, tmp_path: Path) -> None:
    fill: Callable[[str], str] = {"${BROKERS}": kafka.brokers}.__getitem__
    source = ow.Source(
        "orders", ow.kafka("orders", brokers="${BROKERS}"), key="id", event_time="at"
    )
    kafka.send("orders", order(1))
    reader = KafkaReader(Surroundings(folder=tmp_path, fill=fill))
    assert pending(source, reader=reader, lake=open_lake(tmp_path / "lake"))


def test_the_bytes_of_poison_are_not_kept_where_columns_are_masked(
    kafka: Kafka, tmp_path: Path
) -> None:
    origin = ow.kafka("orders", brokers=kafka.brokers)
    masked = {"name": ow.drop()}
    masks = open_masks(str(tmp_path / "keys"), str(tmp_path))
    source = ow.Source("orders", origin, key="id", event_time="at", masked=masked)
    kafka.send("orders", order(1, name="Ada"), b'{"name": "Grace"')
    lake = open_lake(tmp_path / "lake")
    reader = KafkaReader(Surroundings(folder=tmp_path))
    batch = ingest(source, reader=reader, lake=lake, run="r", masks=masks)
    assert batch is not None
    audit(batch, (), lake=lake, clock=SystemClock(), required=("id", "at"))
    [bad] = lake.read("quarantine.raw_orders").to_pylist()
    assert bad["_unreadable"] == "value=(masked)"
    assert bad["kafka_offset"] == 1


def test_a_new_field_stops_the_stream_until_it_may_come(kafka: Kafka, tmp_path: Path) -> None:
    shop = Shop(kafka, tmp_path)
    kafka.send("orders", order(1))
    shop.take()
    kafka.send("orders", order(2, colour="red"))
    with pytest.raises(DataError, match="colour"):
        shop.take()
    evolving = Shop(kafka, tmp_path, on_schema_change="evolve")
    evolving.take()
    assert [(row["id"], row["colour"]) for row in evolving.rows()] == [(1, None), (2, "red")]
