"""Staging: a transform's rows onto an audit branch, with what they were made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from onward.core.ports import Lake, Snapshot
from onward.core.records import Batch, Mode, Partitions
from onward.stages.transform.config import Transform

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True, kw_only=True)
class Staging:
    """Where a run stages a table. `state` is what the table will say that it was made from."""

    transform: Transform
    lake: Lake
    run: str
    head: Snapshot | None
    state: Mapping[str, str]

    @property
    def up_to_date(self) -> bool:
        """Whether the published table was made from the same by the same code."""
        head = self.head
        return head is not None and all(head.state.get(k) == v for k, v in self.state.items())

    def stage(
        self,
        rows: pa.RecordBatchReader,
        *,
        inputs: Sequence[str],
        mode: Mode = "replace",
        partitions: Partitions | None = None,
    ) -> Batch:
        """Write the rows on a branch of their own; merging comes with the audit."""
        branch = f"audit-{self.run}"
        base = None if self.head is None else self.head.id
        summary = {"key": f"{self.run}@{base}"}
        staged = self.lake.stage(
            self.transform.table,
            rows,
            branch=branch,
            mode="append" if mode == "partitions" else mode,
            summary=summary,
            state=self.state,
        )
        return Batch(
            dataset=self.transform.name,
            table=self.transform.table,
            branch=branch,
            run=self.run,
            mode=mode,
            rows=staged.given,
            base=base,
            snapshot=staged.id,
            summary=summary,
            state=self.state,
            inputs=tuple(inputs),
            partitions=partitions,
        )
