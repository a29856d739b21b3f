"""Masked rows of a database, taken in by a process of its own that is killed at a line.

``python masked_ingest.py FOLDER RUN LINE``, as `ingest_and_audit` has it.
"""

from datetime import UTC, datetime
from pathlib import Path

from ingest_and_audit import killed

import onward as ow
from onward.core.clock import ReplayClock
from onward.infra.lake.iceberg import open_lake
from onward.infra.masks.masks import KeyedMasks
from onward.infra.secrets.keyfile import KeyFile
from onward.stages.ingest.adapters.sql import SqlReader
from onward.stages.ingest.port import Surroundings
from onward.stages.ingest.step import ingest
from onward.stages.validate.step import audit

SOURCE = ow.Source(
    "people",
    ow.sql("sqlite:///people.db", "people", cursor="id"),
    key="id",
    event_time="at",
    masked={"name": ow.pseudonym()},
)


def run(folder: Path, name: str) -> None:
    """Ingest and audit once, as a run does."""
    lake = open_lake(folder / "state" / "lake")
    masks = KeyedMasks(KeyFile(folder / "state" / "secrets.json"))
    reader = SqlReader(Surroundings(folder=folder))
    batch = ingest(SOURCE, reader=reader, lake=lake, run=name, masks=masks)
    if batch is not None:
        audit(batch, (), lake=lake, clock=ReplayClock(datetime(2024, 1, 1, tzinfo=UTC)))


if __name__ == "__main__":
    killed(run)
