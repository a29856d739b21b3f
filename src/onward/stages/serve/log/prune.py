"""Letting folded segments of the prediction log go: what they held is in the lake.

A file beside the segments remembers, by writer, up to which number they went: an id that points
into one of them was a prediction, and a cursor need not speak of a writer that has nothing left.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import msgspec

from onward.core.files import write_durably
from onward.stages.serve.log.reader import Cursor
from onward.stages.serve.log.segment import PRUNED, SegmentFile, parse_frame, pruned, segments


def prune(folder: Path, folded: Cursor, *, before: datetime) -> list[Path]:
    """Delete the segments that `folded` has passed whole, and that nobody wrote to since `before`.

    A segment that a writer holds stays, however old. A tail that was torn off counts as passed:
    no reader will ever see more of it. Returns what was deleted.
    """
    deleted: list[Path] = []
    gone = pruned(folder)
    for segment in segments(folder):
        path = segment.within(folder)
        if path.stat().st_mtime >= before.timestamp() or not _passed(segment, folder, folded):
            continue
        with _held_by_nobody(path) as free:
            if free:
                gone[segment.writer] = max(segment.number, gone.get(segment.writer, -1))
                _remember(folder, gone)
                path.unlink()
                deleted.append(path)
    return deleted


def forget(folder: Path, cursor: Cursor) -> Cursor:
    """Return a cursor without the writers whose segments have all gone."""
    present = {segment.writer for segment in segments(folder)}
    gone = pruned(folder)
    return Cursor(
        {
            writer: position
            for writer, position in cursor.positions.items()
            if writer in present or position[0] > gone.get(writer, -1)
        }
    )


def _passed(segment: SegmentFile, folder: Path, folded: Cursor) -> bool:
    number, offset = folded.positions.get(segment.writer, (-1, 0))
    if number != segment.number:
        return number > segment.number
    return parse_frame(segment.within(folder).read_bytes(), offset) is None


@contextmanager
def _held_by_nobody(path: Path) -> Iterator[bool]:
    """Tell whether no writer holds a segment; on a file system without locks it cannot be told."""
    fd = os.open(path, os.O_RDONLY)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            free = False
        else:
            free = True
        yield free
    finally:
        os.close(fd)


def _remember(folder: Path, gone: Mapping[str, int]) -> None:
    write_durably(folder / PRUNED, msgspec.json.encode(gone))
