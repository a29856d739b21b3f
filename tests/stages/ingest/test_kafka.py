"""Topics of Kafka: every message is a row once, or in quarantine with its position."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, TopicPartition

import onward as ow
from onward.core.clock import SystemClock
from onward.core.errors import DataError, DeclarationError
from onward.core.records import ValidationReport
from onward.infra.lake.iceberg import IcebergLake, open_lake
from onward.infra.masks.masks import open_masks
from onward.stages.ingest.adapters.kafka import KafkaReader
from onward.stages.ingest.adapters.kafka_topic import Topic
from onward.stages.ingest.port import Surroundings
from onward.stages.ingest.spool import Spool
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
        self.source = ow.Source(
            "orders",
            ow.kafka("orders", brokers=kafka.brokers, **options),
            key="id",
            event_time="at",
            micro_batch=batch,
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


def test_micro_batches_are_bounded_by_rows(kafka: Kafka, tmp_path: Path) -> None:
    shop = Shop(kafka, tmp_path, micro_batch=ow.micro_batch(rows=4, wait="30s"))
    for partition in range(4):
        ids = range(partition * 3, partition * 3 + 3)
        kafka.send("orders", *(order(i) for i in ids), partition=partition)
    reports = [shop.take(limited=True) for _ in range(3)]
    assert [r.rows_published for r in reports if r] == [4, 4, 4]
    assert shop.ids() == list(range(12))
    assert not shop.pending()


def test_micro_batches_are_bounded_by_bytes(kafka: Kafka, tmp_path: Path) -> None:
    shop = Shop(kafka, tmp_path, micro_batch=ow.micro_batch(bytes=20_000, wait="30s"))
    kafka.send("orders", *(order(i, text="x" * 20_000) for i in range(3)))
    batch = ingest(
        shop.source,
        reader=shop.reader,
        lake=shop.lake,
        run="r",
        limits=shop.source.micro_batch,
    )
    assert batch is not None
    assert batch.rows + (batch.behind or 0) == 3


def test_a_micro_batch_waits_no_longer_than_it_may(kafka: Kafka, tmp_path: Path) -> None:
    shop = Shop(kafka, tmp_path, micro_batch=ow.micro_batch(wait="300ms"))
    kafka.create("orders")
    assert shop.take(limited=True) is None
    kafka.send("orders", order(1))
    assert shop.take(limited=True) is not None


def test_what_follows_is_read_from_where_the_last_batch_ended(kafka: Kafka, shop: Shop) -> None:
    """An end that the consumer met before, and tells late, is not the end now."""
    for number in range(6):
        kafka.send("orders", order(2 * number), order(2 * number + 1), partition=number % 2)
        shop.take()
        assert shop.ids() == list(range(2 * number + 2))


def test_a_batch_that_was_not_published_is_read_again(kafka: Kafka, shop: Shop) -> None:
    kafka.send("orders", order(1))
    shop.take()
    kafka.send("orders", order(2))
    lost = ingest(shop.source, reader=shop.reader, lake=shop.lake, run="lost")
    assert lost is not None
    assert lost.rows == 1
    shop.take()
    assert shop.ids() == [1, 2]


def test_a_failure_while_reading_skips_nothing(
    kafka: Kafka, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    kafka.send("orders", order(1))
    shop.take()
    kafka.send("orders", order(2), order(3))
    write, written = Spool.write, []

    def full(spool: Spool, row: Any) -> None:
        written.append(row)
        if len(written) == 2:
            raise OSError(28, "No space left on device")
        write(spool, row)

    monkeypatch.setattr(Spool, "write", full)
    with pytest.raises(OSError, match="No space"):
        shop.take()
    monkeypatch.setattr(Spool, "write", write)
    shop.take()
    assert shop.ids() == [1, 2, 3]


def test_offsets_committed_to_kafka_are_told_and_never_read(kafka: Kafka, tmp_path: Path) -> None:
    shop = Shop(kafka, tmp_path, group="lag")
    kafka.send("orders", order(1), order(2), order(3))
    other = Consumer({"bootstrap.servers": kafka.brokers, "group.id": "lag", "log_level": 0})
    place = TopicPartition("orders", 0)
    try:
        other.commit(offsets=[TopicPartition("orders", 0, 3)], asynchronous=False)
        shop.take()
        assert shop.ids() == [1, 2, 3]
        other.commit(offsets=[TopicPartition("orders", 0, 0)], asynchronous=False)
        kafka.send("orders", order(4))
        shop.take()
        assert shop.ids() == [1, 2, 3, 4]
        while other.committed([place], timeout=10)[0].offset != 3:  # told without waiting for it
            shop.take()
    finally:
        other.close()


def test_a_new_partition_is_read_from_its_beginning(
    kafka: Kafka, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    kafka.send("orders", order(1), partition=0)
    kafka.send("orders", order(2), partition=3)
    with monkeypatch.context() as patch:
        patch.setattr(Topic, "_partitions", lambda topic: [0, 1])
        shop.take()
    assert shop.ids() == [1]
    assert shop.pending()
    shop.take()
    assert shop.ids() == [1, 2]
    assert shop.offsets() == {"0": 1, "1": 0, "2": 0, "3": 1}


def test_messages_that_are_gone_are_not_passed_over_in_silence(
    kafka: Kafka, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shop = Shop(kafka, tmp_path)
    kafka.send("orders", order(1), order(2))
    shop.take()
    later = {"offsets": json.dumps({"0": 9, "1": 0, "2": 0, "3": 0})}
    nothing = shop.lake.read("raw.orders").slice(0, 0)
    shop.lake.append("raw.orders", nothing, key="k", state=later)
    assert shop.pending()
    with pytest.raises(DataError, match="no longer holds offset 9 of partition 0") as refused:
        shop.take()
    assert "on_lost='continue'" in str(refused.value.next_step)
    assert shop.ids() == [1, 2]
    going_on = Shop(kafka, tmp_path, on_lost="continue")
    going_on.take()
    assert going_on.ids() == [1, 1, 2, 2]  # the topic was made anew: these are other messages
    assert "reading on from 0" in caplog.text


def test_offsets_without_a_message_are_passed_over(shop: Shop, tmp_path: Path) -> None:
    """What a compacted topic, or a transaction's marker, leaves at a partition's end."""
    topic = Topic(shop.source, shop.source.origin, Surroundings(folder=tmp_path))
    upto = {0: 5}
    with Spool(tmp_path / "s") as spool:
        topic._take(message(KafkaError._PARTITION_EOF, offset=9), upto, spool)
    assert upto == {0: 9}


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (KafkaError.OFFSET_OUT_OF_RANGE, "went away meanwhile"),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, "cannot be read"),
    ],
)
def test_an_error_in_place_of_a_message_is_told(
    shop: Shop, tmp_path: Path, code: int, says: str
) -> None:
    topic = Topic(shop.source, shop.source.origin, Surroundings(folder=tmp_path))
    with Spool(tmp_path / "s") as spool, pytest.raises(DataError, match=says):
        topic._take(message(code, offset=3), {0: 3}, spool)


def message(code: int, *, offset: int) -> Any:
    return SimpleNamespace(
        error=lambda: KafkaError(code), partition=lambda: 0, offset=lambda: offset
    )


def test_a_silent_partition_is_an_error_when_everything_is_wanted(
    kafka: Kafka, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    kafka.send("orders", order(1))
    monkeypatch.setattr("onward.stages.ingest.adapters.kafka_topic._SILENCE_S", 0.0)
    with pytest.raises(DataError, match=r"nothing came from partitions \[0\]"):
        shop.take()


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
