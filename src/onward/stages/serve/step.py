"""Folding the prediction log into the lake, where monitors and releases read it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Final

from onward.core.ports import Lake
from onward.stages.serve.log.reader import Cursor, Logged, read_batches

if TYPE_CHECKING:
    import pyarrow as pa

TABLE: Final = "serving.predictions"
CURSOR: Final = "onward.serve.cursor"


def fold(folder: Path, *, lake: Lake, run: str, limit: int = 200_000) -> int:
    """Append what the log holds beyond the table's cursor, and return how many rows that was.

    The cursor lies in the table's state, so rows and cursor commit as one: a crash or a
    second call neither loses nor doubles a prediction. `limit` is the rows of one commit, about.
    The table's columns: ``id``, ``at``, ``model``, ``version``, ``image``, ``release``, ``arm``,
    ``unit``, ``status``, ``latency_us``, ``request`` (JSON), ``features`` (doubles in the plan's
    order, NaN for text), ``texts`` (its text features, in order), ``output`` (P(class 1), the
    value, or the likeliest class's index), ``error``, and ``marks`` (JSON: by view, what stood in
    for a fresh row; NULL where every row was fresh).

    Raises
    ------
    CorruptError
        The log is damaged before its end.
    """
    head = lake.head(TABLE)
    text = head and head.state.get(CURSOR)
    after = Cursor.loads(text) if text else Cursor()
    rows = 0
    while True:
        batches, cursor = read_batches(folder, after, limit)
        if not batches:
            return rows
        lake.append(
            TABLE,
            to_table(batches),
            key=f"{run}/serve.fold/{after.dumps()}",
            state={CURSOR: cursor.dumps()},
        )
        rows += sum(map(len, batches))
        after = cursor


def to_table(batches: list[Logged]) -> pa.Table:
    """Return the batches' rows as the table that `fold` appends."""
    import numpy as np
    import pyarrow as pa

    parts = []
    for logged in batches:
        n, header, batch = len(logged), logged.header, logged.batch
        output = logged.output()
        if header.width > 1:
            failed = np.isnan(output).any(axis=1)
            likeliest = np.where(failed, 0, np.nan_to_num(output).argmax(axis=1))
            output = np.where(failed, np.nan, likeliest)
        width = len(header.features)
        offsets = np.arange(0, (n + 1) * width, width) if width else np.zeros(n + 1)
        features = pa.ListArray.from_arrays(
            pa.array(offsets.astype("int32")), pa.array(logged.features().ravel())
        )
        columns = {
            "id": pa.array([str(logged.address._replace(row=row)) for row in range(n)]),
            "at": pa.array(batch.at, pa.int64()).cast(pa.timestamp("us", tz="UTC")),
            "model": pa.repeat(header.model, n),
            "version": pa.repeat(pa.scalar(header.version, pa.int64()), n),
            "image": pa.repeat(header.image, n),
            "release": pa.repeat(header.release, n),
            "arm": pa.repeat(header.arm, n),
            "unit": pa.array(batch.unit, pa.string()),
            "status": pa.array(batch.status, pa.int32()),
            "latency_us": pa.array(batch.latency_us, pa.int64()),
            "request": pa.array(
                [json.dumps(logged.request(row), default=str) for row in range(n)], pa.string()
            ),
            "features": features,
            "texts": pa.array(batch.strings or [()] * n, pa.list_(pa.string())),
            "output": pa.array(output.ravel(), from_pandas=True),
            "error": pa.array(batch.errors or [None] * n, pa.string()),
            "marks": pa.array(
                [marks and json.dumps(marks) for marks in batch.marks or [None] * n], pa.string()
            ),
        }
        parts.append(pa.table(columns))
    return pa.concat_tables(parts)
