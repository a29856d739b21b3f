"""The servers that tests start are what they say they are."""

from confluent_kafka import Consumer, TopicPartition

from services.kafka import Kafka
from services.postgres import Cluster


def test_each_test_has_a_database_of_its_own(postgres: Cluster) -> None:
    first, second = postgres.create_database(), postgres.create_database()
    postgres.execute("CREATE TABLE t (x int); INSERT INTO t VALUES (7)", first)
    assert postgres.execute("SELECT x FROM t", first) == "7"
    assert postgres.execute("SELECT count(*) FROM pg_class WHERE relname = 't'", second) == "0"


def test_a_message_comes_out_of_kafka_as_it_went_in(kafka: Kafka) -> None:
    kafka.send("orders", b"a", None, partition=1, key=b"k")
    consumer = Consumer({"bootstrap.servers": kafka.brokers, "group.id": "g"})
    try:
        consumer.assign([TopicPartition("orders", 1, 0)])
        first, second = consumer.consume(2, timeout=30)
    finally:
        consumer.close()
    assert (first.value(), first.key(), first.offset()) == (b"a", b"k", 0)
    assert (second.value(), second.offset()) == (None, 1)
