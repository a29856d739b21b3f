"""Reads orders in micro-batches for ever; tells when it waits, and how many there were."""

import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

from kafka_shop import Shop

import onward as ow
from onward.stages.ingest.adapters.kafka_topic import Topic
from onward.stages.ingest.spool import Spool


def waiting(topic: Topic, *args: Mapping[int, int]) -> dict[int, int]:
    found = seek(topic, *args)
    print("waits", flush=True)
    return found


if __name__ == "__main__":
    folder = Path(sys.argv[2])
    shop = Shop(SimpleNamespace(brokers=sys.argv[1]), folder)  # type: ignore[arg-type]
    topic = shop.reader._topic(shop.source)
    seek, Topic._seek = Topic._seek, waiting  # type: ignore[method-assign]
    after: dict[int, int] = {}
    while True:
        with Spool(folder / "messages.jsonl") as spool:
            after = topic.read(after, spool, ow.micro_batch(wait="1s"))
        print(sum(after.values()), flush=True)
