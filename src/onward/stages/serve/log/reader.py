"""Reading the prediction log: one prediction by its id, or everything from a cursor on."""

from __future__ import annotations

import contextlib
import json
import mmap
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from onward.core.errors import CorruptError, NotFoundError
from onward.core.records import Prediction
from onward.stages.serve.log.pieces import frame_at, frames
from onward.stages.serve.log.segment import (
    MAGIC,
    Address,
    Batch,
    Feedback,
    Header,
    Record,
    SegmentFile,
    decode,
    parse_frame,
    pruned,
    segments,
)

if TYPE_CHECKING:
    import numpy as np

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


GONE: Final = "(gone)"
"""The model of predictions that are in the log no more; no model has this name."""

MOST_ROWS: Final = 1 << 32


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a reader is: for each writer its segment, and the offset of the next frame."""

    positions: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    def covers(self, address: Address) -> bool:
        """Whether the frame at this address lies before the cursor."""
        return self.positions.get(address.writer, (0, 0)) > (address.segment, address.offset)

    def furthest(self, other: Cursor) -> Cursor:
        """Return how far, for each writer, the one or the other is."""
        both = (*self.positions.items(), *other.positions.items())
        found: dict[str, tuple[int, int]] = {}
        for writer, position in both:
            found[writer] = max(position, found.get(writer, position))
        return Cursor(found)

    def dumps(self) -> str:
        """Return the cursor as text."""
        return json.dumps({w: list(p) for w, p in sorted(self.positions.items())})

    @classmethod
    def loads(cls, text: str) -> Cursor:
        """Read what `dumps` wrote."""
        return cls({writer: (n, offset) for writer, (n, offset) in json.loads(text).items()})


@dataclass(frozen=True, slots=True)
class Logged:
    """A batch as it was read, with its header and the address of its first row."""

    address: Address
    header: Header
    batch: Batch

    def __len__(self) -> int:
        return len(self.batch.at)

    def features(self) -> np.ndarray:
        """Return the features, shape (n, n_features), NaN in text columns."""
        return self._matrix(self.batch.features, len(self.header.features))

    def output(self) -> np.ndarray:
        """Return the outputs, shape (n, width), NaN where a row failed."""
        return self._matrix(self.batch.output, self.header.width)

    def _matrix(self, data: bytes, width: int) -> np.ndarray:
        import numpy as np

        return np.frombuffer(data, dtype="<f8").reshape(len(self), width)

    def request(self, row: int) -> dict[str, Any]:
        """Return one row's request columns; empty where the caller sent features."""
        values = self.batch.requests[row]
        return {} if values is None else dict(zip(self.header.request, values, strict=True))

    def prediction(self, row: int) -> Prediction:
        """Return one row as a record."""
        header, batch = self.header, self.batch
        features: dict[str, Any] = dict(
            zip(header.features, _numbers(self.features()[row]), strict=True)
        )
        if batch.strings is not None:
            for position, text in zip(header.strings, batch.strings[row], strict=True):
                features[header.features[position]] = text
        output = _numbers(self.output()[row])
        return Prediction(
            id=str(self.address._replace(row=row)),
            at=_EPOCH + timedelta(microseconds=batch.at[row]),
            model=header.model,
            version=header.version,
            image=header.image,
            release=header.release,
            arm=header.arm,
            unit=batch.unit[row],
            status=batch.status[row],
            latency_us=batch.latency_us[row],
            request=self.request(row),
            features=features,
            output=None if batch.status[row] != 200 else output if len(output) > 1 else output[0],
            error=None if batch.errors is None else batch.errors[row],
            marks=(None if batch.marks is None else batch.marks[row]) or {},
        )


@dataclass(frozen=True, slots=True)
class Told:
    """Feedback as it was read, with the address of its first row."""

    address: Address
    feedback: Feedback

    def __len__(self) -> int:
        return len(self.feedback.at)


@dataclass(frozen=True, slots=True)
class Span:
    """What lies between two cursors, in each writer's order; `cursor` is the one after it.

    `more` says whether there was more when it was read: what came since is not waited for.
    """

    batches: Sequence[Logged]
    feedback: Sequence[Told]
    cursor: Cursor
    more: bool = False

    def __bool__(self) -> bool:
        return bool(self.batches or self.feedback)


def find(folder: Path, id: str) -> Prediction:
    """Return the prediction with this id: two reads, however long the log is.

    Raises
    ------
    NotFoundError
        There is no such prediction.
    CorruptError
        Its bytes do not match their checksum.
    """
    address = Address.parse(id)
    logged = _logged(folder, address)
    if logged is None or address.row >= len(logged):
        raise NotFoundError(
            f"there is no prediction {id!r} in {folder}",
            expected="an `id` that the gateway answered",
        )
    return logged.prediction(address.row)


def answered_by(folder: Path, ids: Iterable[str]) -> Iterator[str | None]:
    """Yield, for each id, the model whose prediction it is; None where it is nobody's.

    `GONE` stands for one in a segment that went after being folded: only the lake knows it. An id
    that was made up may cost a second, as whatever lies at its place is read for a frame.
    """
    found: dict[Address, tuple[str, int]] = {}
    gone = pruned(folder)
    for text in ids:
        try:
            address = Address.parse(text)
            batch = address._replace(row=0)
            if batch not in found:
                found[batch] = _about(folder, batch, gone)
            model, rows = found[batch]
            yield model if address.row < rows else None
        except (NotFoundError, CorruptError):  # an id made up may point into the middle of a frame
            yield None


def _about(folder: Path, address: Address, gone: Mapping[str, int]) -> tuple[str, int]:
    """Return a batch's model and its number of rows; 0 for what was none."""
    if not SegmentFile(address.writer, address.segment).within(folder).exists():
        left = address.segment <= gone.get(address.writer, -1)
        return (GONE, MOST_ROWS) if left else ("", 0)
    logged = _logged(folder, address)
    return ("", 0) if logged is None else (logged.header.model, len(logged))


def _logged(folder: Path, address: Address) -> Logged | None:
    """Return the batch at an address, None where there is none."""
    path = SegmentFile(address.writer, address.segment).within(folder)
    batch: Record | None = None
    header: Record | None = None
    with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
        if os.fstat(file.fileno()).st_size > address.offset:
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                batch = _decode_at(data, address.offset, path)
                header = _decode_at(data, batch.header, path) if isinstance(batch, Batch) else None
    if isinstance(batch, Batch) and isinstance(header, Header):
        return Logged(address._replace(row=0), header, batch)
    return None


def read(
    folder: Path, after: Cursor | None = None, limit: int = 100_000
) -> tuple[list[Prediction], Cursor]:
    """Return the predictions after a cursor, as records, and the cursor after them."""
    span = read_span(folder, after, limit)
    found = [logged.prediction(row) for logged in span.batches for row in range(len(logged))]
    return found, span.cursor


def read_span(
    folder: Path, after: Cursor | None = None, limit: int = 100_000, *, without: str = ""
) -> Span:
    """Return what lies after a cursor. Whole frames are read until there are `limit` rows.

    What the writer `without` wrote is passed over: its segments are not opened.

    Raises
    ------
    CorruptError
        A frame within the log does not match its checksum.
    """
    positions = dict((after or Cursor()).positions)
    batches: list[Logged] = []
    feedback: list[Told] = []
    rows = 0
    for segment in segments(folder):
        number, offset = positions.get(segment.writer, (0, len(MAGIC)))
        if segment.number < number or segment.writer == without:
            continue
        start = offset if segment.number == number else len(MAGIC)
        for found, end in _scan(segment, folder, start):
            if rows >= limit:
                return Span(batches, feedback, Cursor(positions), more=True)
            positions[segment.writer] = (segment.number, end)
            rows += len(found)
            if isinstance(found, Logged):
                batches.append(found)
            else:
                feedback.append(found)
    return Span(batches, feedback, Cursor(positions))


def _scan(segment: SegmentFile, folder: Path, start: int) -> Iterator[tuple[Logged | Told, int]]:
    """Yield each batch and feedback from `start` on, with the offset after it.

    A torn tail ends the segment; one that is in the lake, and went a moment ago, has nothing.
    """
    path = segment.within(folder)
    with contextlib.suppress(FileNotFoundError), path.open("rb", buffering=0) as file:
        fd = file.fileno()
        if os.fstat(fd).st_size <= start:  # as most: their writers have gone
            return
        if os.pread(fd, len(MAGIC), 0) != MAGIC:
            raise CorruptError(
                f"{path} is no segment of a prediction log", expected=f"it begins with {MAGIC!r}"
            )
        try:
            yield from _records(fd, segment, start)
        except CorruptError as error:
            raise _within(path, error) from None


def _records(fd: int, segment: SegmentFile, start: int) -> Iterator[tuple[Logged | Told, int]]:
    headers: dict[int, Header] = {}
    for payload, offset, end in frames(fd, start):
        record = decode(payload)
        address = Address(segment.writer, segment.number, offset, 0)
        if isinstance(record, Batch):
            if record.header not in headers:
                header = frame_at(fd, record.header)
                found = None if header is None else decode(header)
                if not isinstance(found, Header):
                    raise CorruptError(f"the batch at byte {offset} has no header")
                headers[record.header] = found
            yield Logged(address, headers[record.header], record), end
        elif isinstance(record, Feedback):
            yield Told(address, record), end


def _decode_at(data: mmap.mmap, offset: int, path: Path) -> Record | None:
    try:
        parsed = parse_frame(data, offset)
    except CorruptError as error:
        raise _within(path, error) from None
    return None if parsed is None else decode(parsed[0])


def _within(path: Path, error: CorruptError) -> CorruptError:
    return CorruptError(
        f"{error.what}, in {path}", expected=error.expected, next_step=error.next_step
    )


def _numbers(values: np.ndarray) -> list[float | None]:
    return [None if value != value else value for value in values.tolist()]
