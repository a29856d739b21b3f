"""Where a batch's rows came from: counted as they pass, part by part, and not stored with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from onward.core.records import Part

if TYPE_CHECKING:
    import pyarrow as pa


class Parted:
    """A scan's rows as a stream without the column `part`, by which they are counted.

    `names` says what parts are called where that is another name.
    """

    def __init__(
        self, rows: pa.RecordBatchReader, part: str | None, names: Mapping[str, str]
    ) -> None:
        self._rows = rows
        self._part = part
        self._names = names
        self._runs: list[Part] = []

    def reader(self) -> pa.RecordBatchReader:
        """Return the stream; it can be read once."""
        import pyarrow as pa

        if self._part is None:
            return self._rows
        schema = self._rows.schema
        kept = schema.remove(schema.get_field_index(self._part))
        return pa.RecordBatchReader.from_batches(kept, self._batches(kept))

    def parts(self) -> tuple[Part, ...]:
        """Return the parts, in the rows' order, once the stream is read.

        Nothing where rows of several came mixed: then no row's place can be told.
        """
        mixed = len({part.name for part in self._runs}) < len(self._runs)
        return () if mixed else tuple(self._runs)

    def _batches(self, kept: pa.Schema) -> Iterator[pa.RecordBatch]:
        import pyarrow.compute as pc

        for batch in self._rows:
            runs = pc.run_end_encode(batch.column(self._part))
            begin = 0
            for name, end in zip(runs.values.to_pylist(), runs.run_ends.to_pylist(), strict=True):
                self._add(self._names.get(name, name), end - begin)
                begin = end
            yield batch.select(kept.names)

    def _add(self, name: str, rows: int) -> None:
        if self._runs and self._runs[-1].name == name:
            rows += self._runs.pop().rows
        self._runs.append(Part(name=name, rows=rows))
