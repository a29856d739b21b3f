"""One topic's clients: what the brokers hold, and its messages as rows."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from threading import Thread
from typing import TYPE_CHECKING, Any, Final

from onward.core.errors import DataError, DeclarationError, unknown_name
from onward.core.records import UNREADABLE
from onward.stages.ingest.adapters.kafka_values import (
    UndecodableError,
    column_types,
    decoder,
    read_schema,
    unfit,
)
from onward.stages.ingest.columns import RESERVED
from onward.stages.ingest.config import MicroBatch, Source
from onward.stages.ingest.port import Surroundings
from onward.stages.ingest.spool import Spool
from onward.stages.ingest.streams import POSITION_COLUMNS, Kafka

if TYPE_CHECKING:
    from confluent_kafka import Consumer, Message
    from confluent_kafka.admin import AdminClient

Offsets = Mapping[int, int]
"""The next offset to read, by partition."""

_log = logging.getLogger(__name__)

_SILENCE_S: Final = 60.0  # how long a partition may be silent that has messages
_LOOK_S: Final = 0.02  # between looks at what librdkafka has fetched
_AT_ONCE: Final = 1_000  # messages taken from librdkafka in one call
_AHEAD_KB: Final = 16_384  # what librdkafka fetches ahead: more waits at the brokers
_TAKEN: Final = frozenset((*RESERVED, *POSITION_COLUMNS))


class Topic:
    """One topic's clients: a consumer that reads, and two that ask.

    The one that reads stays where the last batch ended, so that what it fetched ahead is not lost.
    librdkafka waits by the wall clock (its issue 2145): a wait under way when that is set back
    lasts as much longer. So it is never asked to wait for messages, and clients that are silent
    are replaced by new ones, by the monotonic clock.
    Partitions are asked of a consumer, for an admin client would create a topic that is not there;
    offsets are asked of an admin client, for all partitions at once.
    """

    def __init__(self, source: Source, origin: Kafka, surroundings: Surroundings) -> None:
        self.origin = origin
        self.undecoded, self.why = 0, ""  # of the last batch
        self._source = source
        self._decode = decoder(origin, surroundings.folder, surroundings.fill)
        self.types = column_types(read_schema(origin, surroundings.folder))
        self._settings = _settings(origin, surroundings)
        self._patience_s = int(self._settings["socket.timeout.ms"]) / 1000
        self._asker: Consumer | None = _consumer(source, self._settings)
        self._consumer: Consumer | None = None
        self._admin: AdminClient | None = None
        self._at: dict[int, int] = {}
        self._silent_since: float | None = None  # in seconds of the monotonic clock

    # ------------------------------------------------------------ asking

    def bounds(self) -> dict[int, tuple[int, int]]:
        """Return each partition's oldest offset and the one after its newest message.

        Raises
        ------
        DataError
            The brokers do not answer, or the topic does not exist.
        """
        from confluent_kafka import IsolationLevel, KafkaException, TopicPartition
        from confluent_kafka.admin import AdminClient, OffsetSpec

        try:
            parts = [TopicPartition(self.origin.topic, p) for p in self._partitions()]
            if self._admin is None:
                self._admin = AdminClient(self._settings, logger=_log)
            asked = [
                self._admin.list_offsets(
                    dict.fromkeys(parts, spec),
                    request_timeout=self._patience_s,
                    isolation_level=IsolationLevel.READ_COMMITTED,
                )
                for spec in (OffsetSpec.earliest(), OffsetSpec.latest())
            ]
            left = self._patience_s + 1
            found = [{p.partition: f.result(left).offset for p, f in e.items()} for e in asked]
        except (KafkaException, TimeoutError) as error:
            self.close()
            raise self._silent(str(error) or "no offsets were told") from None
        begins, ends = found
        return {p: (begins[p], ends[p]) for p in sorted(begins)}

    def behind(self, after: Offsets) -> int:
        """Return how many offsets the brokers hold past `after`, as the last fetches told."""
        from confluent_kafka import TopicPartition

        assert self._consumer is not None
        waiting = 0
        for partition, offset in after.items():
            bounds = self._consumer.get_watermark_offsets(
                TopicPartition(self.origin.topic, partition), cached=True
            )
            waiting += max(0, bounds[1] - offset) if bounds else 0
        return waiting

    def _partitions(self) -> list[int]:
        if self._asker is None:
            self._asker = _consumer(self._source, self._settings)
        found = self._asker.list_topics(self.origin.topic, timeout=self._patience_s)
        topic = found.topics[self.origin.topic]
        if topic.error is None and topic.partitions:
            return sorted(topic.partitions)
        names = [
            n for n in self._asker.list_topics(timeout=self._patience_s).topics if n[:2] != "__"
        ]
        what, expected = unknown_name("topic", self.origin.topic, names)
        raise DataError(what, expected=expected, location=self._source.location)

    # ------------------------------------------------------------ reading

    def read(self, after: Offsets, spool: Spool, limits: MicroBatch | None) -> dict[int, int]:
        """Write messages past `after` into `spool`; return the offsets after them.

        Without `limits` it reads what is there now. With them it reads until one is reached, and
        waits for messages as long as they allow.

        Raises
        ------
        DataError
            The brokers do not answer, or the next message is lost.
        """
        bounds = self.bounds()
        upto = self._seek(after, bounds)
        start = dict(upto)
        self._at = {}  # unknown, should anything below fail
        ends = {p: end for p, (_, end) in bounds.items() if end > upto[p]}
        self.undecoded = 0
        quiet = time.monotonic() + (limits.wait.total_seconds() if limits else _SILENCE_S)
        while (limits or ends) and not (limits and limits.full(spool.rows, spool.bytes)):
            left = quiet - time.monotonic()
            if left <= 0:
                break
            room = _AT_ONCE if limits is None else min(_AT_ONCE, limits.rows - spool.rows)
            assert self._consumer is not None
            messages = self._consumer.consume(room, timeout=0)
            if not messages:
                time.sleep(min(left, _LOOK_S))
            for message in messages:
                self._take(message, upto, spool)
            ends = {p: end for p, end in ends.items() if upto[p] < end}
            if messages and not limits:
                quiet = time.monotonic() + _SILENCE_S
        if ends and not limits:
            self.close()
            raise self._silent(f"nothing came from partitions {sorted(ends)}")
        self._at = dict(upto)
        self._watch(silent=bool(ends) and upto == start)
        return upto

    def _watch(self, *, silent: bool) -> None:
        """Let go of clients that have long given nothing of what the brokers hold."""
        now = time.monotonic()
        if not silent:
            self._silent_since = None
        elif self._silent_since is None:
            self._silent_since = now
        elif now - self._silent_since > _SILENCE_S:
            _log.warning("nothing comes of topic %r: connecting anew", self.origin.topic)
            self.close()

    def close(self) -> None:
        """Let go of the clients; whoever asks next gets new ones.

        On a thread beside: one that is stuck holds up nobody.
        """
        consumers = (self._asker, self._consumer)
        self._asker = self._consumer = self._admin = self._silent_since = None
        self._at = {}
        for client in consumers:
            if client is not None:
                Thread(target=client.close, daemon=True).start()

    def _seek(self, after: Offsets, bounds: Mapping[int, tuple[int, int]]) -> dict[int, int]:
        """Bring the consumer to `after`, unless it stands there; return where each starts."""
        from confluent_kafka import KafkaException, TopicPartition

        start = {p: after.get(p, begin) for p, (begin, _) in bounds.items()}
        for partition, (begin, end) in bounds.items():
            if not begin <= start[partition] <= end:
                self._lost(partition, start[partition], begin, end)
                start[partition] = begin
        try:
            if self._consumer is None:
                self._consumer = _consumer(self._source, self._settings)
            if start != self._at:
                where = [TopicPartition(self.origin.topic, p, o) for p, o in start.items()]
                self._consumer.assign(where)
            if self.origin.group is not None and after:
                told = [TopicPartition(self.origin.topic, p, o) for p, o in after.items()]
                self._consumer.commit(offsets=told, asynchronous=True)
        except KafkaException as error:
            raise self._silent(error) from None
        return start

    def _take(self, message: Message, upto: dict[int, int], spool: Spool) -> None:
        from confluent_kafka import KafkaError

        # The codes that librdkafka itself gives, not a broker, begin with an underscore.
        ended, reset = KafkaError._PARTITION_EOF, KafkaError._AUTO_OFFSET_RESET  # noqa: SLF001 (as said)
        error, partition, offset = message.error(), message.partition(), message.offset()
        if error is None:
            self._write(message, spool)
            upto[partition] = offset + 1
        elif error.code() == ended:
            # What lies between the last message and here holds none, and never will.
            upto[partition] = max(upto[partition], offset)
        elif error.code() in (reset, KafkaError.OFFSET_OUT_OF_RANGE):
            raise self._silent(f"offset {offset} of partition {partition} went away meanwhile")
        elif error.fatal() or not error.retriable():
            raise self._silent(error.str())

    def _write(self, message: Message, spool: Spool) -> None:
        """Write a message's row, or its position and bytes where it is none."""
        raw, key, (kind, milliseconds) = message.value(), message.key(), message.timestamp()
        position = {
            "kafka_partition": message.partition(),
            "kafka_offset": message.offset(),
            "kafka_timestamp": _time(milliseconds) if kind else None,
            "kafka_key": None if key is None else _text(key),
        }
        try:
            if raw is None:
                raise UndecodableError("it is a tombstone: a key without a value")
            row = self._decode(raw)
            why = unfit(row, _TAKEN)
            if why is not None:
                raise UndecodableError(why)
            spool.write({**row, **position})
        except (ValueError, TypeError, RecursionError) as error:
            self.undecoded += 1
            self.why = str(error)
            text = "(none)" if raw is None else _text(raw)
            spool.write({**position, UNREADABLE: f"value={text}"})

    def _lost(self, partition: int, next_: int, begin: int, end: int) -> None:
        """Refuse to go on without messages that are gone, unless that was declared."""
        what = (
            f"topic {self.origin.topic!r} no longer holds offset {next_} of partition {partition}, "
            f"the next to read: it holds {begin} to {end}"
        )
        if self.origin.on_lost == "continue":
            _log.warning("%s; reading on from %d", what, begin)
            return
        raise DataError(
            what,
            expected="messages that are kept until they are read, in a topic that is not made anew",
            next_step="lengthen the topic's retention; to go on without what is lost, declare "
            "ow.kafka(..., on_lost='continue')",
            location=self._source.location,
        )

    def _silent(self, error: object) -> DataError:
        return DataError(
            f"topic {self.origin.topic!r} cannot be read: {error}",
            expected=f"brokers that answer at {self.origin.brokers}",
            next_step="run again when they do: nothing was lost",
            location=self._source.location,
        )


def _settings(origin: Kafka, surroundings: Surroundings) -> dict[str, Any]:
    """Return librdkafka's settings for every client."""
    filled = {name: surroundings.fill(value) for name, value in origin.settings.items()}
    brokers = surroundings.fill(origin.brokers)
    return {"socket.timeout.ms": "10000", **filled, "bootstrap.servers": brokers}


def _consumer(source: Source, settings: Mapping[str, Any]) -> Consumer:
    """Return a consumer that reads nothing yet.

    Raises
    ------
    DeclarationError
        Kafka's client is not installed, or a setting is none of its.
    """
    origin = source.origin
    assert isinstance(origin, Kafka)
    try:
        from confluent_kafka import Consumer, KafkaException
    except ImportError:
        raise DeclarationError(
            f"source {source.name!r} reads Kafka, whose client is not installed",
            next_step="pip install 'onward[kafka]'",
            location=source.location,
        ) from None
    reading = {
        "group.id": origin.group or f"onward-{source.name}",
        "enable.auto.commit": False,
        "auto.offset.reset": "error",
        "enable.partition.eof": True,
        "queued.max.messages.kbytes": _AHEAD_KB,
    }
    try:
        return Consumer({**settings, **reading}, logger=_log)
    except KafkaException as error:
        raise DeclarationError(
            f"source {source.name!r}: {error.args[0].str()}",
            expected="settings as librdkafka names them",
            location=source.location,
        ) from None


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "backslashreplace")


def _time(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat()
