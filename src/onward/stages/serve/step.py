"""Folding the prediction log into the lake, where monitors and releases read it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from onward.core.ports import Lake
from onward.stages.serve.log.reader import Cursor, read_span
from onward.stages.serve.log.tables import feedback_table, predictions_table

TABLE: Final = "serving.predictions"
FEEDBACK: Final = "serving.feedback"
CURSOR: Final = "onward.serve.cursor"


def fold(folder: Path, *, lake: Lake, run: str, limit: int = 200_000) -> int:
    """Append what the log holds beyond the tables' cursors; return how many predictions that was.

    A cursor lies in its table's state, so rows and cursor commit as one: a crash or a second call
    neither loses nor doubles a row. Feedback commits first: what the cursor of predictions has
    passed is in both tables, and only what lies between the two cursors is told apart by row.
    `limit` is the rows of one commit, about. The columns are those of `log.tables`.

    Raises
    ------
    CorruptError
        The log is damaged before its end.
    """
    after, told = _cursor(lake, TABLE), _cursor(lake, FEEDBACK)
    rows = 0
    while span := read_span(folder, after, limit):
        key, state = f"{run}/serve.fold/{after.dumps()}", {CURSOR: span.cursor.dumps()}
        if new := [each for each in span.feedback if not told.covers(each.address)]:
            lake.append(FEEDBACK, feedback_table(new), key=key, state=state)
        if span.batches:
            lake.append(TABLE, predictions_table(span.batches), key=key, state=state)
        rows += sum(map(len, span.batches))
        after = span.cursor
    return rows


def _cursor(lake: Lake, table: str) -> Cursor:
    head = lake.head(table)
    text = head and head.state.get(CURSOR)
    return Cursor.loads(text) if text else Cursor()
