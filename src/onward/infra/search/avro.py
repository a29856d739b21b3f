"""The blocks of an Avro object container, unpacked: Apache Avro 1.12, "Object Container Files"."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import IO, Final

_SYNC_BYTES: Final = 16


def blocks(file: IO[bytes]) -> Iterator[bytes]:
    """Yield each block's bytes; those that are packed by deflate, unpacked.

    Raises
    ------
    ValueError
        The file is torn off, or its blocks are packed in another way.
    """
    file.seek(4)
    codec = _metadata(file).get(b"avro.codec", b"null")
    if codec not in (b"null", b"deflate"):
        raise ValueError(f"packed by {codec.decode()}")
    file.read(_SYNC_BYTES)
    while True:
        try:
            _long(file)
        except EOFError:
            return
        data = _exactly(file, _long(file))
        yield zlib.decompress(data, -zlib.MAX_WBITS) if codec == b"deflate" else data
        _exactly(file, _SYNC_BYTES)


def _metadata(file: IO[bytes]) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = {}
    while count := _long(file):
        if count < 0:  # then the block's size in bytes comes as well
            count = -count
            _long(file)
        for _ in range(count):
            key = _exactly(file, _long(file))
            found[key] = _exactly(file, _long(file))
    return found


def _long(file: IO[bytes]) -> int:
    """Read a zigzag variable-length integer."""
    shift = value = 0
    while True:
        byte = file.read(1)
        if not byte:
            raise EOFError
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return (value >> 1) ^ -(value & 1)
        shift += 7


def _exactly(file: IO[bytes], count: int) -> bytes:
    data = file.read(count)
    if len(data) != count:
        raise ValueError("torn off")
    return data
