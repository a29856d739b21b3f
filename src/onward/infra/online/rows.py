"""Rows as every online store keeps them: a key per entity, and the features as one blob."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import msgspec

from onward.core.ports import Entity
from onward.core.records import Materialized, ViewPlan

if TYPE_CHECKING:
    import pyarrow as pa

_encode: Final = msgspec.msgpack.Encoder().encode
decode: Final = msgspec.msgpack.Decoder(tuple[Any, ...]).decode
"""Read a row's features from its blob."""

_load: Final = msgspec.json.Decoder(Materialized).decode


def encoded(view: ViewPlan, rows: pa.Table) -> Iterator[tuple[bytes, int, bytes]]:
    """Yield each row's key, event time in microseconds, and blob of features.

    A row without an entity can never be asked for, and is left out.
    """
    import pyarrow as pa

    entities = zip(*(rows[name].to_pylist() for name in view.entity), strict=True)
    times = rows["event_time"].cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_pylist()
    features = zip(*(rows[name].to_pylist() for name in view.columns), strict=True)
    for entity, ts, values in zip(entities, times, features, strict=True):
        if None not in entity:
            yield key(entity), ts, _encode(values)


def key(entity: Entity) -> bytes:
    """Return an entity's key; JSON's 7.0 and 7 are the same entity."""
    for part in entity:
        if type(part) is float:
            return _encode(tuple(map(_whole, entity)))
    return _encode(entity)


def _whole(part: Any) -> Any:
    return int(part) if type(part) is float and part.is_integer() else part


def mark_text(mark: Materialized) -> str:
    """Return a mark as text."""
    return msgspec.json.encode(mark).decode()


def read_mark(text: str | bytes | None) -> Materialized | None:
    """Read what `mark_text` wrote; None stays None."""
    return None if text is None else _load(text)
