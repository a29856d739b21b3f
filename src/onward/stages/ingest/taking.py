"""Taking in: an intake's rows pass through what masks and leaves out, onto a branch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from onward.core.ports import Lake, Masks, Snapshot
from onward.core.records import Part
from onward.stages.ingest import masking
from onward.stages.ingest.columns import column_types, presumed
from onward.stages.ingest.config import Source
from onward.stages.ingest.contract import Agreed
from onward.stages.ingest.erased import Spared
from onward.stages.ingest.looks import presume
from onward.stages.ingest.overlap import unread
from onward.stages.ingest.parts import Parted
from onward.stages.ingest.port import Intake
from onward.stages.ingest.rows import Streamed, carefully, swiftly

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What was staged: of which parts, and how many rows of erased subjects were not."""

    snapshot: Snapshot
    parts: tuple[Part, ...]
    left_out: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Taking:
    """An intake that is to be staged. `ingest` says what the fields are."""

    source: Source
    intake: Intake
    agreed: Agreed
    connection: DuckDBPyConnection
    lake: Lake
    masks: Masks | None
    quarantine: str | None
    erased: Mapping[str, frozenset[str]]
    branch: str
    summary: Mapping[str, str]
    state: Mapping[str, str]

    def take(self) -> Taken:
        """Stage the rows in one pass; where a value turns out to be in doubt, again, with care."""
        source, agreed, connection = self.source, self.agreed, self.connection
        types = column_types(source, agreed, connection, presume)
        query = swiftly(agreed.scan, types, presumed(source, agreed, types))
        streamed = Streamed(connection, query)
        try:
            return self._stage(query, streamed)
        except Exception:
            if not streamed.doubted:
                raise
        types = column_types(source, agreed, connection)
        query = carefully(connection, agreed.scan, types, hidden=source.masked)
        return self._stage(query, Streamed(connection, query))

    def _stage(self, query: str, streamed: Streamed) -> Taken:
        source, intake, masks = self.source, self.intake, self.masks
        parted = Parted(streamed.reader(), self.agreed.scan.part, intake.names)
        spared = Spared(self.erased, masks)
        rows = masking.masked(source, masks, spared.reader(parted.reader()))
        rows = spared.reader(rows) if source.masked else rows
        if intake.overlaps:
            rows = unread(
                rows, query, source, intake,
                quarantine=self.quarantine, lake=self.lake, connection=self.connection,
            )  # fmt: skip
        snapshot = self.lake.stage(
            source.table,
            rows,
            branch=self.branch,
            mode="replace" if intake.mode == "replace" else "append",
            summary=self.summary,
            state=self.state,
            evolution=self.agreed.evolution,
        )
        told = not (intake.overlaps or spared.left_out)
        return Taken(
            snapshot=snapshot,
            parts=parted.parts() if told else (),
            left_out=spared.left_out,
        )
