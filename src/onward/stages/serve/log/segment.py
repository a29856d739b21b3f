"""The prediction log on disk: segments, frames, and the addresses that are prediction ids.

A segment is `MAGIC` followed by frames; a frame is ``[u32 length][u32 crc32][payload]``, little
endian, its payload a msgpack array. One tagged 0 is a `Header` (who answered, and the names of
the columns), one tagged 1 a `Batch` (the rows that one arm answered in one tick), which points at
its header, one tagged 2 a `Feedback` (what became known about predictions).
"""

from __future__ import annotations

import re
import struct
import zlib
from mmap import mmap
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from onward.core.errors import CorruptError, NotFoundError

MAGIC: Final = b"onward\x00\x01"
PRUNED: Final = "pruned.json"
_PREFIX: Final = struct.Struct("<II")
_NAME: Final = re.compile(r"([0-9a-z]+)-(\d+)\.log")
_NUMBER: Final = r"(0|[1-9a-f][0-9a-f]{0,14})"
_ID: Final = re.compile(rf"(?:prediction:)?([0-9a-z]{{1,64}})\.{_NUMBER}\.{_NUMBER}\.{_NUMBER}")


class Header(msgspec.Struct, frozen=True, cache_hash=True, array_like=True, tag=0):
    """What all rows of a batch have in common, written once per segment.

    `strings` are the positions, among `features`, of the columns that hold text.
    `width` is the number of figures in one row's output.
    """

    model: str
    version: int
    image: str
    release: str
    arm: str
    request: tuple[str, ...]
    features: tuple[str, ...]
    strings: tuple[int, ...]
    width: int


class Batch(msgspec.Struct, array_like=True, tag=1):
    """n rows answered by one arm in one tick.

    `header` is the header frame's offset in the same segment; `at` is in microseconds since the
    epoch, UTC; `requests` holds each row's values in the header's order, or None for a row that
    came as features; `features` and `output` are float64 matrices, (n, n_features) and
    (n, width), row by row, NaN where there is no number; `strings` holds each row's text features.
    `marks` says, of a row that got something for want of a view's fresh row, what by view:
    ``missing:default``, ``stale:last`` and so on.
    """

    header: int
    at: list[int]
    unit: list[str]
    status: list[int]
    latency_us: list[int]
    requests: list[tuple[Any, ...] | None]
    features: bytes
    strings: list[tuple[str | None, ...]] | None
    output: bytes
    errors: list[str | None] | None
    marks: list[dict[str, str] | None] | None = None


class Feedback(msgspec.Struct, array_like=True, tag=2):
    """n statements about predictions, as one caller made them in one request.

    `at` is when each was made, in microseconds since the epoch, UTC; `prediction` is the id that
    the gateway answered; `name` says what is told: ``label``, ``reward`` or a figure of the
    caller's own; `value` is a number, a truth value or a text. Of several statements with one
    prediction and name the newest holds.
    """

    at: list[int]
    model: list[str]
    prediction: list[str]
    name: list[str]
    value: list[float | bool | str | None]


class Address(NamedTuple):
    """Where a row lies: the writer's segment, the batch's offset in it, the row in the batch."""

    writer: str
    segment: int
    offset: int
    row: int

    def __str__(self) -> str:
        return f"{self.writer}.{self.segment:x}.{self.offset:x}.{self.row:x}"

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read a prediction's id. Each has one spelling: tables are joined by it.

        Raises
        ------
        NotFoundError
            It has not the form of one.
        """
        found = _ID.fullmatch(text)
        if found is None:
            raise NotFoundError(
                f"{text!r} is no prediction's id",
                expected="the `id` that the gateway answered, such as 'mab3k9x1f2c4.0.8.0'",
            )
        writer, *numbers = found.groups()
        return cls(writer, *(int(number, 16) for number in numbers))


class SegmentFile(NamedTuple):
    """A segment, named after its writer and numbered from 0."""

    writer: str
    number: int

    def within(self, folder: Path) -> Path:
        return folder / f"{self.writer}-{self.number:06d}.log"


def segments(folder: Path) -> list[SegmentFile]:
    """Return the folder's segments by writer (oldest first, by name), then number."""
    if not folder.is_dir():
        return []
    matches = (_NAME.fullmatch(path.name) for path in folder.iterdir())
    return sorted(SegmentFile(m[1], int(m[2])) for m in matches if m)


def pruned(folder: Path) -> dict[str, int]:
    """Return, by writer, the last of its segments that went after being folded."""
    try:
        return msgspec.json.decode((folder / PRUNED).read_bytes(), type=dict[str, int])
    except FileNotFoundError:
        return {}


def frame(payload: bytes) -> bytes:
    """Return `payload` with its length and checksum before it."""
    return _PREFIX.pack(len(payload), zlib.crc32(payload)) + payload


def parse_frame(data: bytes | mmap, offset: int, begin: int = 0) -> tuple[bytes, int] | None:
    """Return the payload at `offset` and the offset after it; None for a tail that was torn off.

    `data` is the segment from the byte `begin` on. A writer that was killed can leave part of a
    frame at the end of a segment, and a power cut zeros after it, never a wrong frame before
    others.

    Raises
    ------
    CorruptError
        The frame is whole, and its checksum is wrong.
    """
    if offset + _PREFIX.size > len(data):
        return None
    length, crc = _PREFIX.unpack_from(data, offset)
    start, end = offset + _PREFIX.size, offset + _PREFIX.size + length
    if length == 0 or end > len(data):
        return None
    payload = data[start:end]
    if zlib.crc32(payload) != crc:
        if not data[end:].strip(b"\0"):
            return None
        raise CorruptError(
            f"the prediction log is damaged at byte {begin + offset}",
            expected=f"checksum {crc:08x}, found {zlib.crc32(payload):08x}",
            next_step="restore the segment from a backup",
        )
    return payload, end


Record = Header | Batch | Feedback

encode: Final = msgspec.msgpack.Encoder().encode
decode: Final = msgspec.msgpack.Decoder(Record).decode
