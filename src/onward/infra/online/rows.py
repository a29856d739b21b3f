"""Rows as every online store keeps them: a key per entity, and the row as one blob.

A blob is MessagePack of [event time, [feature, …]], so that one call of the decoder gives a row.
The time always takes nine bytes, so that a store can find it (`TIME`) without decoding.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

import msgspec

from onward.core.ports import Entity, OnlineRow
from onward.core.records import Materialized, ViewPlan

if TYPE_CHECKING:
    import pyarrow as pa

_encode: Final = msgspec.msgpack.Encoder().encode
decode: Final = msgspec.msgpack.Decoder(OnlineRow).decode
"""Read a row from its blob."""

TIME: Final = slice(2, 10)
"""Where in a blob the event time is: signed microseconds, big endian."""

_PAIR_OF_LONG: Final = b"\x92\xd3"  # a list of two, of which the first is an integer of 64 bits

_load: Final = msgspec.json.Decoder(Materialized).decode


def encoded(view: ViewPlan, rows: pa.Table) -> Iterator[tuple[bytes, int, bytes]]:
    """Yield each row's key, event time in microseconds, and blob.

    A row without an entity can never be asked for, and is left out.
    """
    import pyarrow as pa

    entities = zip(*(rows[name].to_pylist() for name in view.entity), strict=True)
    times = rows["event_time"].cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_pylist()
    features = zip(*(rows[name].to_pylist() for name in view.columns), strict=True)
    for entity, ts, values in zip(entities, times, features, strict=True):
        if None not in entity:
            time = ts.to_bytes(8, "big", signed=True)
            yield key(entity), ts, _PAIR_OF_LONG + time + _encode(values)


def key(entity: Entity) -> bytes:
    """Return an entity's key; JSON's 7.0 and 7 are the same entity."""
    for part in entity:
        if type(part) is float:
            return _encode(tuple(map(_whole, entity)))
    return _encode(entity)


def keys(entities: Sequence[Entity]) -> list[bytes]:
    """Return the key of each of many entities."""
    if float in set(map(type, chain.from_iterable(entities))):
        return [key(entity) for entity in entities]
    return list(map(_encode, entities))


def _whole(part: Any) -> Any:
    return int(part) if type(part) is float and part.is_integer() else part


def mark_text(mark: Materialized) -> str:
    """Return a mark as text."""
    return msgspec.json.encode(mark).decode()


def read_mark(text: str | bytes | None) -> Materialized | None:
    """Read what `mark_text` wrote; None stays None."""
    return None if text is None else _load(text)
