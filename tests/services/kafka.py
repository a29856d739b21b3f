"""Kafka for tests: librdkafka's own mock cluster, in this process, on a free port.

It speaks the protocol over TCP, so clients in other processes reach it too. A topic comes into
being, with four partitions, when a producer first asks for it.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from confluent_kafka import Producer

PARTITIONS = 4


class Kafka:
    """A running cluster of one broker, and a producer to it."""

    def __init__(self) -> None:
        settings = {"bootstrap.servers": "mock", "test.mock.num.brokers": 1, "log_level": 0}
        self._host: Producer | None = Producer(settings)
        found = self._host.list_topics(timeout=10).brokers.values()
        self.brokers = ",".join(f"{b.host}:{b.port}" for b in found)
        self._producer = Producer({"bootstrap.servers": self.brokers, "log_level": 0})

    def create(self, topic: str) -> None:
        """Make an empty topic."""
        assert topic in self._producer.list_topics(topic, timeout=10).topics

    def send(
        self, topic: str, *values: bytes | None, partition: int = 0, key: bytes | None = None
    ) -> None:
        """Append messages to a partition, and wait until they are there."""
        for value in values:
            self._producer.produce(topic, value, key, partition)
        assert self._producer.flush(30) == 0

    def stop(self) -> None:
        """End the cluster; its messages are gone."""
        self._host = None


@pytest.fixture
def kafka() -> Iterator[Kafka]:
    """A Kafka cluster without topics."""
    running = Kafka()
    yield running
    running.stop()
