"""Erasing a subject from the prediction log: rows are blanked, and every other id stays valid.

A prediction's id is its address, so nothing may move: a blanked batch keeps its offset and its
length. Where it has become shorter, a header that no batch points at fills the rest.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from onward.core.records import Subject
from onward.stages.serve.log.segment import (
    MAGIC,
    Batch,
    Header,
    decode,
    encode,
    frame,
    parse_frame,
    segments,
)

if TYPE_CHECKING:
    import ibis.expr.types as ir

ERASED = "~"
"""What a blanked row's unit consists of."""

_FRAME = len(frame(b""))
_SHORTEST = 32  # bytes: room for a frame with an empty header, and for every length above


def erase_log(folder: Path, subject: Subject, *, dry_run: bool = False) -> int:
    """Blank the subject's rows in every segment; return how many there were.

    No gateway may be writing. A segment is replaced whole, so that a crash leaves the old or the
    new one. What is left of a row: when, by which version, how fast and with which status.
    """
    found = 0
    for segment in segments(folder):
        path = segment.within(folder)
        data = path.read_bytes()
        changed, rows = _blanked(data, subject)
        found += rows
        if rows and not dry_run:
            _replace(path, changed)
    return found


def logged_rows(subject: Subject) -> Callable[[ir.Table], ir.BooleanValue]:
    """Return which rows of the folded table are about the subject, as an Ibis predicate."""

    def where(table: ir.Table) -> ir.BooleanValue:
        about = table.unit.isin(sorted(subject.units | subject.values))
        for column in subject.columns:
            for value in sorted(subject.values):
                for text in _as_json(column, value):
                    about |= table.request.contains(text)
        return about

    return where


def _as_json(column: str, value: str) -> list[str]:
    """Return how a request's column stands in the folded JSON, as text and as a number."""
    name = msgspec.json.encode(column).decode()
    texts = [f"{name}: {_json(value)}"]
    if value.lstrip("-").isdigit():
        texts += [f"{name}: {value},", f"{name}: {value}}}"]
    return texts


def _json(value: str) -> str:
    import json

    return json.dumps(value)  # as `fold` writes it: letters beyond ASCII are escaped


def _blanked(data: bytes, subject: Subject) -> tuple[bytes, int]:
    """Return a segment with the subject's rows blanked, and how many these are."""
    parts, found, offset = [data[: len(MAGIC)]], 0, len(MAGIC)
    headers: dict[int, Header] = {}
    while (parsed := parse_frame(data, offset)) is not None:
        payload, end = parsed
        record = decode(payload)
        if isinstance(record, Header):
            headers[offset] = record
            parts.append(data[offset:end])
        else:
            header = headers[record.header]
            rows = [row for row in range(len(record.at)) if _about(header, record, row, subject)]
            found += len(rows)
            parts.append(_fitted(header, record, rows, end - offset) if rows else data[offset:end])
        offset = end
    return b"".join(parts) + data[offset:], found


def _about(header: Header, batch: Batch, row: int, subject: Subject) -> bool:
    unit, request = batch.unit[row], batch.requests[row]
    if unit in subject.units or unit in subject.values:
        return True
    if request is None:
        return False
    named = dict(zip(header.request, request, strict=True))
    return subject.is_in(named.get(column) for column in subject.columns)


def _fitted(header: Header, batch: Batch, rows: Sequence[int], length: int) -> bytes:
    """Return the batch's frame with `rows` blanked, filled up to its former length."""
    _blank(header, batch, rows)
    left = length - len(frame(encode(batch)))
    if 0 < left < _SHORTEST:
        batch.unit[rows[0]] = ERASED * left
        return frame(encode(batch))
    return frame(encode(batch)) + (_filler(left) if left else b"")


def _blank(header: Header, batch: Batch, rows: Sequence[int]) -> None:
    features = np.frombuffer(batch.features, "<f8").reshape(len(batch.at), -1).copy()
    output = np.frombuffer(batch.output, "<f8").reshape(len(batch.at), header.width).copy()
    for row in rows:
        batch.unit[row] = ""
        batch.requests[row] = None
        features[row], output[row] = np.nan, np.nan
        if batch.strings is not None:
            batch.strings[row] = (None,) * len(header.strings)
        if batch.errors is not None:
            batch.errors[row] = None
    batch.features, batch.output = features.tobytes(), output.tobytes()


def _filler(length: int) -> bytes:
    """Return a frame of `length` bytes, at least `_SHORTEST`, with a header that says nothing.

    A text's length takes one to five bytes itself, so that one text alone cannot fill every gap.
    """
    for short in count():
        for long in range(length, max(length - 16, 0), -1):
            filled = frame(encode(_empty(ERASED * (long - _FRAME), ERASED * short)))
            if len(filled) == length:
                return filled
    raise AssertionError  # pragma: no cover - `count` does not end


def _empty(model: str, arm: str) -> Header:
    nothing: tuple[Any, ...] = ()
    return Header(model, 0, "", "", arm, nothing, nothing, nothing, 0)


def _replace(path: Path, data: bytes) -> None:
    scratch = path.with_name(f".{path.name}.part")
    with scratch.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(path)
