"""Letting folded segments of the prediction log go: what they held is in the lake."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from onward.stages.serve.log.reader import Cursor
from onward.stages.serve.log.segment import SegmentFile, parse_frame, segments


def prune(folder: Path, folded: Cursor, *, before: datetime) -> list[Path]:
    """Delete the segments that `folded` has passed whole, and that nobody wrote to since `before`.

    A segment that a writer holds stays, however old. A tail that was torn off counts as passed:
    no reader will ever see more of it. Returns what was deleted.
    """
    deleted: list[Path] = []
    for segment in segments(folder):
        path = segment.within(folder)
        if path.stat().st_mtime < before.timestamp() and _passed(segment, folder, folded):
            deleted += _unlinked(path)
    return deleted


def _passed(segment: SegmentFile, folder: Path, folded: Cursor) -> bool:
    number, offset = folded.positions.get(segment.writer, (-1, 0))
    if number != segment.number:
        return number > segment.number
    return parse_frame(segment.within(folder).read_bytes(), offset) is None


def _unlinked(path: Path) -> Iterator[Path]:
    """Delete a segment unless its writer holds it."""
    fd = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()
        yield path
    except OSError:  # held; or a file system without locks, where it cannot be known
        return
    finally:
        os.close(fd)
