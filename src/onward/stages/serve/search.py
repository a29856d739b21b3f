"""Searching predictions: folded ones and those that only the log has yet, as one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from onward.core.ports import Lake
from onward.core.records import DatasetRef, Prediction
from onward.stages.serve.log.reader import read_span
from onward.stages.serve.log.tables import columns_of, prediction, predictions_table
from onward.stages.serve.step import COLUMNS, TABLE, cursor

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which predictions: all that are given must hold; `since <= at < until`.

    `failed` wants those without an answer.
    """

    model: str | None = None
    version: int | None = None
    arm: str | None = None
    unit: str | None = None
    failed: bool = False
    since: datetime | None = None
    until: datetime | None = None


def search(folder: Path, wanted: Wanted, *, lake: Lake, limit: int) -> Sequence[Prediction]:
    """Return the newest predictions that are wanted, newest first."""
    head = lake.head(TABLE)
    names = {} if head is None else dict(head.state)
    found = [] if head is None else _select(lake, lake.dataset(TABLE), wanted, limit)
    after, more = cursor(lake), True
    while more and (span := read_span(folder, after)):
        if span.batches:
            found += _select(lake, predictions_table(span.batches), wanted, limit)
            for logged in span.batches:
                names[f"{COLUMNS}.{logged.header.image}"] = columns_of(logged.header)
        after, more = span.cursor, span.more
    newest = sorted(found, key=lambda row: row["at"], reverse=True)[:limit]
    return [prediction(row, names.get(f"{COLUMNS}.{row['image']}")) for row in newest]


def _select(
    lake: Lake, rows: DatasetRef | pa.Table, wanted: Wanted, limit: int
) -> list[dict[str, Any]]:
    given = [(text, getattr(wanted, name)) for name, text in _CONDITIONS.items()]
    given = [(text, value) for text, value in given if value not in (None, False)]
    where = " AND ".join(text for text, _ in given) or "true"
    with lake.open({"predictions": rows}) as backend:
        found = backend.raw_sql(
            f'SELECT * FROM predictions WHERE {where} ORDER BY "at" DESC LIMIT {limit:d}',  # noqa: S608 (texts of this file)
            parameters=[value for text, value in given if "?" in text],
        )
        rows_found: list[dict[str, Any]] = found.to_arrow_table().to_pylist()
        return rows_found


_CONDITIONS: Final = {
    "model": "model = ?",
    "version": "version = ?",
    "arm": "arm = ?",
    "unit": "unit = ?",
    "failed": "status <> 200",
    "since": '"at" >= ?',
    "until": '"at" < ?',
}
