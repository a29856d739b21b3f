"""What a user declares about streams: topics of Kafka."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, Literal, get_args

from onward.core.declared import here
from onward.core.errors import DeclarationError, unknown_name

Value = Literal["json", "avro"]
OnLost = Literal["refuse", "continue"]

POSITION_COLUMNS: Final[Mapping[str, str]] = {
    "kafka_partition": "int64",
    "kafka_offset": "int64",
    "kafka_timestamp": "timestamp",
    "kafka_key": "string",
}
"""The columns that say where a message stood, with their types; every row of a topic has them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kafka:
    """Messages of a topic, each a row; made by `kafka`, which says what the fields mean."""

    kind: ClassVar[str] = "kafka"
    topic: str
    brokers: str
    value: Value
    schema: str | None
    registry: str | None
    on_lost: OnLost
    group: str | None
    settings: Mapping[str, str] = field(repr=False, compare=False)  # it may hold a password


def kafka(
    topic: str,
    *,
    brokers: str | Sequence[str],
    value: Value = "json",
    schema: str | Mapping[str, Any] | None = None,
    registry: str | None = None,
    on_lost: OnLost = "refuse",
    group: str | None = None,
    settings: Mapping[str, str] | None = None,
) -> Kafka:
    """Read a Kafka topic: each message becomes a row, exactly once in the lake.

    What was read is kept as the next offset of each partition in the published snapshot's state,
    so it commits with the rows; offsets committed to Kafka are never read. Besides the
    message's fields a row has `kafka_partition`, `kafka_offset`, `kafka_timestamp` and
    `kafka_key`. A message that is no row (bytes that do not decode, a tombstone) is quarantined
    with these and its bytes as text.

    Parameters
    ----------
    brokers
        ``host:port``, one or several.
    value
        How a message's bytes are written: ``json``, an object each, or ``avro``, a record each.
    schema
        The Avro schema: a mapping, or the path of an ``.avsc`` file relative to the project. It
        is the writer's; with a registry, the reader's, and may be left out.
    registry
        The URL of a schema registry; messages are in Confluent's wire format then.
    on_lost
        What to do when the topic no longer holds the next message to read (retention was faster,
        or the topic was made anew): ``refuse`` to go on, or ``continue`` with the oldest there is.
    group
        A consumer group to commit the published offsets to, for tools that show its lag.
    settings
        Further settings of librdkafka, such as ``security.protocol``.
    """
    location = here()
    for what, given, known in (("value", value, Value), ("on_lost", on_lost, OnLost)):
        if given not in get_args(known):
            said, expected = unknown_name(f"{what} of a topic", given, get_args(known))
            raise DeclarationError(said, expected=expected, location=location)
    if (value == "avro") != (schema is not None or registry is not None):
        raise DeclarationError(
            f"topic {topic!r} is read as {value}, with "
            + ("a schema" if value == "json" else "no schema"),
            expected="value='json', or value='avro' with schema='order.avsc' or registry='http://…'",
            location=location,
        )
    return Kafka(
        topic=topic,
        brokers=brokers if isinstance(brokers, str) else ",".join(brokers),
        value=value,
        schema=_text(schema),
        registry=registry,
        on_lost=on_lost,
        group=group,
        settings=dict(settings or {}),
    )


def _text(schema: str | Mapping[str, Any] | None) -> str | None:
    import json

    return json.dumps(schema) if isinstance(schema, Mapping) else schema
