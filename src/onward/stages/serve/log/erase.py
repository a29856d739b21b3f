"""Erasing a subject from the prediction log: rows are blanked, and every other id stays valid.

A prediction's id is its address, so nothing may move: a blanked batch keeps its offset and its
length. Where it has become shorter, a header that no batch points at fills the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from onward.core.files import remove_unfinished, write_durably
from onward.core.records import Subject
from onward.stages.serve.log.segment import (
    MAGIC,
    Address,
    Batch,
    Feedback,
    Header,
    Record,
    decode,
    encode,
    frame,
    parse_frame,
    segments,
)

if TYPE_CHECKING:
    import ibis.expr.types as ir

ERASED = "~"
"""What a blanked row's unit, or blanked feedback's name, consists of."""

_FRAME = len(frame(b""))
_SHORTEST = 32  # bytes: room for a frame with an empty header, and for every length above


def erase_log(
    folder: Path, subject: Subject, *, ids: Collection[str] = (), dry_run: bool = False
) -> int:
    """Blank the subject's rows in every segment; return how many there were.

    They are predictions about it, and feedback on these or on those with the given `ids`. No
    gateway may be writing. A segment is replaced whole, so that a crash leaves the old or the new
    one. What is left of a prediction: when, by which version, how fast and with which status; of
    feedback: when, and on which prediction. Feedback goes first: it is known by the prediction.
    """
    feedback = partial(_rows_told, {*ids, *ids_about(folder, subject)})
    found = _rewrite(folder, feedback, dry_run)
    return found + _rewrite(folder, partial(_rows_about, subject), dry_run)


def ids_about(folder: Path, subject: Subject) -> Iterator[str]:
    """Yield the ids of the log's predictions about the subject."""
    for segment in segments(folder):
        for offset, _, record, header in _records(segment.within(folder).read_bytes()):
            for row in _rows_about(subject, record, header):
                yield str(Address(segment.writer, segment.number, offset, row))


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


Rows = Callable[[Record, Header | None], list[int]]
"""Which rows of a record are to be blanked, given a batch's header."""


def _rewrite(folder: Path, rows: Rows, dry_run: bool) -> int:
    found = 0
    if not dry_run:
        remove_unfinished(folder)
    for segment in segments(folder):
        path = segment.within(folder)
        data = path.read_bytes()
        parts, until = [], 0
        for offset, end, record, header in _records(data):
            if blank := rows(record, header):
                found += len(blank)
                parts += [data[until:offset], _fitted(record, header, blank, end - offset)]
                until = end
        if parts and not dry_run:
            write_durably(path, b"".join(parts) + data[until:])
    return found


def _records(data: bytes) -> Iterator[tuple[int, int, Record, Header | None]]:
    """Yield each frame's offset and end, what it holds, and of a batch its header."""
    headers: dict[int, Header] = {}
    offset = len(MAGIC)
    while (parsed := parse_frame(data, offset)) is not None:
        payload, end = parsed
        record = decode(payload)
        if isinstance(record, Header):
            headers[offset] = record
        yield offset, end, record, headers[record.header] if isinstance(record, Batch) else None
        offset = end


def _rows_about(subject: Subject, record: Record, header: Header | None) -> list[int]:
    if not isinstance(record, Batch) or header is None:
        return []
    return [row for row in range(len(record.at)) if _about(header, record, row, subject)]


def _about(header: Header, batch: Batch, row: int, subject: Subject) -> bool:
    unit, request = batch.unit[row], batch.requests[row]
    if unit in subject.units or unit in subject.values:
        return True
    if request is None:
        return False
    named = dict(zip(header.request, request, strict=True))
    return subject.is_in(named.get(column) for column in subject.columns)


def _rows_told(ids: Collection[str], record: Record, _: Header | None) -> list[int]:
    if not isinstance(record, Feedback):
        return []
    told = zip(record.prediction, record.name, strict=True)
    return [row for row, (on, name) in enumerate(told) if on in ids and name.strip(ERASED)]


def _fitted(record: Record, header: Header | None, rows: Sequence[int], length: int) -> bytes:
    """Return the record's frame with `rows` blanked, filled up to its former length."""
    texts: list[str] = []
    if isinstance(record, Feedback):
        texts = record.name
        for row in rows:
            record.name[row], record.value[row] = "", None
    elif isinstance(record, Batch) and header is not None:
        texts = record.unit
        _blank(header, record, rows)
    left = length - len(frame(encode(record)))
    if 0 < left < _SHORTEST:
        texts[rows[0]] = ERASED * left
        return frame(encode(record))
    return frame(encode(record)) + (_filler(left) if left else b"")


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
