"""Folding the prediction log into the lake, where monitors and releases read it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Final

from onward.core.errors import NotFoundError
from onward.core.ports import Lake
from onward.core.records import Prediction, Statement
from onward.stages.serve.log import prune as pruning
from onward.stages.serve.log.reader import Cursor, Span, find, read_span
from onward.stages.serve.log.segment import Address
from onward.stages.serve.log.tables import (
    columns_of,
    feedback_table,
    prediction,
    predictions_table,
    statement,
)

TABLE: Final = "serving.predictions"
FEEDBACK: Final = "serving.feedback"
CURSOR: Final = "onward.serve.cursor"
COLUMNS: Final = "onward.serve.columns"
"""State of the table, for each image: the names of its features."""


def fold(folder: Path, *, lake: Lake, run: str, limit: int = 200_000) -> int:
    """Append what the log holds beyond the tables' cursors; return how many predictions that was.

    A cursor lies in its table's state, so rows and cursor commit as one: a crash or a second call
    neither loses nor doubles a row. Feedback commits first: what the cursor of predictions has
    passed is in both tables, and only what lies between the two cursors is told apart by row. What
    is logged meanwhile is left to the next call: under load there is always more. Another process
    that folds is waited for. `limit` is the rows of one commit, about. The columns are those of
    `log.tables`.

    Raises
    ------
    CorruptError
        The log is damaged before its end.
    """
    with _alone(folder):
        after, told = cursor(lake), cursor(lake, FEEDBACK)
        rows, more = 0, True
        while more and (span := read_span(folder, after, limit)):
            state = {CURSOR: pruning.forget(folder, span.cursor).dumps()}
            if new := [each for each in span.feedback if not told.covers(each.address)]:
                key = f"{run}/serve.fold/{told.furthest(after).dumps()}"
                lake.append(FEEDBACK, feedback_table(new), key=key, state=state, sought=True)
            if span.batches:
                rows += sum(map(len, span.batches))
                key = f"{run}/serve.fold/{after.dumps()}"
                table = predictions_table(span.batches)
                lake.append(TABLE, table, key=key, state=state | _columns(span), sought=True)
            after, more = span.cursor, span.more
    return rows


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the log's folder against others who fold: two that begin at one cursor double rows."""
    if not folder.is_dir():
        yield
        return
    fd = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # not every file system has locks
            fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def cursor(lake: Lake, table: str = TABLE) -> Cursor:
    """Return how far the log is folded into a table."""
    head = lake.head(table)
    text = head and head.state.get(CURSOR)
    return Cursor.loads(text) if text else Cursor()


def prune(folder: Path, *, lake: Lake, before: datetime) -> Sequence[Path]:
    """Delete segments that are in the lake whole and were last written to before a moment."""
    return pruning.prune(folder, cursor(lake), before=before)


def look_up(folder: Path, id: str, *, lake: Lake) -> Prediction:
    """Return the prediction with this id: from the log, or from the lake once its segment is gone.

    Raises
    ------
    NotFoundError
        There is no such prediction.
    """
    try:
        return find(folder, id)
    except NotFoundError:
        address, head = Address.parse(id), lake.head(TABLE)
        if head is None:
            raise
    # The id alone would do; of segment and offset the bounds are numbers, and tell more.
    rows = lake.find(
        TABLE, {"id": str(address), "segment": address.segment, "offset": address.offset}
    ).to_pylist()
    if not rows:
        raise NotFoundError(
            f"there is no prediction {id!r} in the log or in {TABLE}",
            expected="an `id` that the gateway answered",
        )
    return prediction(rows[0], head.state.get(f"{COLUMNS}.{rows[0]['image']}"))


def statements(folder: Path, id: str, *, lake: Lake) -> Sequence[Statement]:
    """Return what was told of the prediction with this id: of each name the newest, by name.

    Raises
    ------
    NotFoundError
        It is no id.
    """
    about, rows = str(Address.parse(id)), []
    # What either cursor has passed is in the table: see `fold`.
    after, more = cursor(lake).furthest(cursor(lake, FEEDBACK)), True
    if lake.head(FEEDBACK) is not None:
        rows = lake.find(FEEDBACK, {"prediction": about}).to_pylist()
    while more and (span := read_span(folder, after)):
        if span.feedback:
            told = feedback_table(span.feedback).to_pylist()
            rows += [row for row in told if row["prediction"] == about]
        after, more = span.cursor, span.more
    rows.sort(key=lambda row: (row["at"], Address.parse(row["id"])))
    newest = {row["name"]: row for row in rows}
    return [statement(newest[name]) for name in sorted(newest)]


def _columns(span: Span) -> dict[str, str]:
    headers = {logged.header for logged in span.batches}
    return {f"{COLUMNS}.{header.image}": columns_of(header) for header in headers}
