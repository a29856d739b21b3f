"""Reading a segment from an offset on, piece by piece: what lies before it is not read again.

A shadow looks at the log ten times a second, and a segment may have 64 MB.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Final

from onward.stages.serve.log.segment import parse_frame

PIECE: Final = 1 << 18
"""Bytes that are read at once; more where one frame is longer."""


def frames(fd: int, start: int, piece: int = PIECE) -> Iterator[tuple[bytes, int, int]]:
    """Yield each frame from `start` on: its payload, and the offsets before and after it.

    A tail that was torn off ends it, as does the end of what was written by now. The file is read,
    not mapped: a writer may cut off what it could not write whole. `piece` bytes are read at once.

    Raises
    ------
    CorruptError
        A frame is whole, and its checksum is wrong.
    """
    wanted = piece
    while data := os.pread(fd, wanted, start):
        inside = 0
        while (parsed := parse_frame(data, inside, start)) is not None:
            payload, end = parsed
            yield payload, start + inside, start + end
            inside = end
        if inside:
            start, wanted = start + inside, piece
        elif len(data) < wanted:
            return
        else:
            wanted *= 2


def frame_at(fd: int, offset: int) -> bytes | None:
    """Return the payload of the frame at an offset; None where there is no whole one.

    Raises
    ------
    CorruptError
        Its checksum is wrong.
    """
    return next((payload for payload, _, _ in frames(fd, offset, 4 << 10)), None)
