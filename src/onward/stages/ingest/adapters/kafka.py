"""Kafka topics: the messages past the offsets that the published snapshots hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from onward.core.errors import DataError
from onward.stages.ingest import cursor
from onward.stages.ingest.adapters.kafka_topic import Offsets, Topic
from onward.stages.ingest.config import Source
from onward.stages.ingest.port import Desk, Intake, Surroundings
from onward.stages.ingest.reading import TYPES
from onward.stages.ingest.scan import scan_rows
from onward.stages.ingest.spool import Spool
from onward.stages.ingest.streams import POSITION_COLUMNS, Kafka

_POSITIONS: Final = {name: TYPES[kind] for name, kind in POSITION_COLUMNS.items()}


class KafkaReader:
    """Reads `Kafka`: every partition from the offset that the table's state names.

    It assigns partitions to itself: groups, their rebalances and their committed offsets have no
    say in what is read. A partition that is new begins at its oldest message. Offsets that hold
    no message (compacted away, transaction markers) are passed over. Messages of transactions
    that are open or aborted are not read.
    """

    def __init__(self, surroundings: Surroundings) -> None:
        self._surroundings = surroundings
        self._topics: dict[str, Topic] = {}
        self._nothing: dict[str, tuple[Offsets, Offsets]] = {}

    def pending(self, source: Source, state: Mapping[str, str]) -> bool:
        """Tell whether any partition ends past its next offset."""
        bounds = self._topic(source).bounds()
        after: Offsets = cursor.offsets(state)
        if source.name in self._nothing and self._nothing[source.name][0] == after:
            after = self._nothing[source.name][1]  # up to there the topic holds no message
        return any(end != after.get(p, begin) for p, (begin, end) in bounds.items())

    def open(
        self,
        source: Source,
        state: Mapping[str, str],
        *,
        known: Sequence[str] | None,
        desk: Desk,
    ) -> Intake | None:
        """Return the messages up to now or, with limits, the next micro-batch; None without any."""
        topic, after = self._topic(source), cursor.offsets(state)
        with Spool(desk.folder / "messages.jsonl") as spool:
            upto = topic.read(after, spool, desk.limits)
        if not spool.rows:
            self._nothing[source.name] = (after, upto)
            return None
        if known is None and spool.rows == topic.undecoded:
            raise DataError(
                f"none of the first {spool.rows:,} messages of topic {topic.origin.topic!r} can "
                f"be read as {topic.origin.value}: {topic.why}",
                expected="at least one, from which the table's columns can be seen",
                next_step="say how they are written: ow.kafka(..., value=…, schema=…)",
                location=source.location,
            )
        scan = scan_rows(desk.connection, [spool.path], known, types=_POSITIONS | topic.types)
        taken = cursor.of_offsets(upto)
        return Intake(scan=scan, summary=taken, state=taken, behind=topic.behind(upto))

    def _topic(self, source: Source) -> Topic:
        origin = source.origin
        assert isinstance(origin, Kafka)
        found = self._topics.get(source.name)
        if found is None or found.origin != origin:
            if found is not None:
                found.close()
            found = self._topics[source.name] = Topic(source, origin, self._surroundings)
        return found
