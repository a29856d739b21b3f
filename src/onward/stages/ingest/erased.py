"""Rows of subjects that were erased: they are not taken in again, wherever they come from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from onward.core.ports import Masks
from onward.core.records import TOMBSTONE

if TYPE_CHECKING:
    import pyarrow as pa


class Spared:
    """A stream without the rows of erased subjects; `left_out` counts those as they pass.

    Parameters
    ----------
    hashes
        What stands for erased subjects, by the column that says whom a row is about.
    masks
        What makes such a hash of a value.
    """

    def __init__(self, hashes: Mapping[str, frozenset[str]], masks: Masks | None) -> None:
        self.left_out = 0
        self._hashes = hashes
        self._masks = masks

    def reader(self, rows: pa.RecordBatchReader) -> pa.RecordBatchReader:
        """Return the stream without them."""
        import pyarrow as pa

        columns = [name for name in rows.schema.names if name in self._hashes]
        if not columns or self._masks is None:
            return rows
        return pa.RecordBatchReader.from_batches(
            rows.schema, self._batches(rows, columns, self._masks)
        )

    def _batches(
        self, rows: pa.RecordBatchReader, columns: list[str], masks: Masks
    ) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa
        import pyarrow.compute as pc

        known = {name: pa.array(sorted(self._hashes[name]), pa.string()) for name in columns}
        for batch in rows:
            kept = batch
            for name in columns:
                hashed = masks.column(TOMBSTONE, kept.column(name))
                kept = kept.filter(pc.invert(pc.is_in(hashed, value_set=known[name])))
            self.left_out += batch.num_rows - kept.num_rows
            yield kept
