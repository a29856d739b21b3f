"""Where in its source a row stood: the part that it came from, and its number there."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, Final

from onward.core.records import ROW, Batch

if TYPE_CHECKING:
    import ibis.expr.types as ir

SOURCE: Final = "_source"
"""The column of a quarantine that says it: ``data/orders/may.csv:17`` is the file's 17th row."""


def located(rows: ir.Table, batch: Batch) -> ir.Table:
    """Return a batch's rows, which have the column `ROW`, with `SOURCE`; NULL where it is unknown.

    Rows are counted from 1, without a file's header.
    """
    import ibis
    import pyarrow as pa

    if not batch.parts or ROW not in rows.columns:
        return rows.mutate(**{SOURCE: ibis.null("string")})
    ends = list(accumulate(part.rows for part in batch.parts))
    parts = ibis.memtable(
        pa.table(
            {
                "_part": [part.name for part in batch.parts],
                "_begin": [end - part.rows for end, part in zip(ends, batch.parts, strict=True)],
                "_end": ends,
            }
        )
    )
    found = rows.left_join(parts, [rows[ROW] > parts["_begin"], rows[ROW] <= parts["_end"]])
    number = (found[ROW] - found["_begin"]).cast("string")
    return found.mutate(**{SOURCE: found["_part"] + ":" + number}).drop("_part", "_begin", "_end")
