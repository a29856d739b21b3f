"""Offsets of Kafka: what was read commits with the rows, and nothing else says where to go on."""

from __future__ import annotations

import json
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, TopicPartition
from kafka_shop import Shop, order

import onward as ow
from onward.core.errors import DataError
from onward.stages.ingest.adapters.kafka_topic import Topic
from onward.stages.ingest.port import Surroundings
from onward.stages.ingest.spool import Spool
from onward.stages.ingest.step import ingest
from services.kafka import PARTITIONS, Kafka


@pytest.fixture
def shop(kafka: Kafka, tmp_path: Path) -> Shop:
    return Shop(kafka, tmp_path)


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


def test_a_silent_consumer_is_replaced_by_a_new_one(
    kafka: Kafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    shop = Shop(kafka, tmp_path, micro_batch=ow.micro_batch(rows=2, wait="100ms"))
    kafka.send("orders", order(1))
    while not shop.take(limited=True):
        pass
    stuck = shop.reader._topic(shop.source)._consumer
    assert stuck is not None
    stuck.pause([TopicPartition("orders", p) for p in range(PARTITIONS)])  # as if its threads slept
    kafka.send("orders", order(2), order(3))
    assert shop.take(limited=True) is None
    assert shop.take(limited=True) is None
    assert shop.reader._topic(shop.source)._consumer is stuck  # it may yet come
    monkeypatch.setattr("onward.stages.ingest.adapters.kafka_topic._SILENCE_S", 0.0)
    assert shop.take(limited=True) is None
    assert "nothing comes of topic 'orders': connecting anew" in caplog.messages
    while not shop.take(limited=True):
        pass
    assert shop.ids() == [1, 2, 3]


def test_brokers_that_do_not_answer_are_asked_by_new_clients(
    kafka: Kafka, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    kafka.send("orders", order(1))
    shop.take()
    kafka.send("orders", order(2))
    topic = shop.reader._topic(shop.source)
    dumb = SimpleNamespace(list_offsets=lambda asked, **_: dict.fromkeys(asked, Future()))
    with monkeypatch.context() as patch:
        patch.setattr(topic, "_patience_s", 1)
        topic._admin = dumb
        with pytest.raises(DataError, match="no offsets were told"):
            shop.take()
    shop.take()
    assert topic._admin is not dumb
    assert shop.ids() == [1, 2]
