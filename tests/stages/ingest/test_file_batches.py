"""Files in micro-batches: each is taken whole, until they are large enough together."""

from pathlib import Path

import onward as ow
from onward.core.clock import SystemClock
from onward.infra.lake.iceberg import open_lake
from onward.stages.ingest.adapters.files import FileReader
from onward.stages.ingest.port import Surroundings
from onward.stages.ingest.step import ingest
from onward.stages.validate.step import audit


def test_files_are_taken_until_they_are_large_enough(tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / f"{number}.csv").write_text(f"id,at\n{number},2024-01-01\n")
    source = ow.Source("orders", ow.files("*.csv"), key="id", event_time="at",
                       micro_batch=ow.micro_batch(bytes=30))  # fmt: skip
    lake = open_lake(tmp_path / "lake")
    reader = FileReader(Surroundings(folder=tmp_path))
    taken = []
    for number in range(4):
        batch = ingest(
            source, reader=reader, lake=lake, run=f"r{number}", limits=source.micro_batch
        )
        if batch is not None:
            audit(batch, (), lake=lake, clock=SystemClock(), required=("id", "at"))
            taken.append(batch.rows)
    assert taken == [2, 2, 1]
    assert sorted(lake.read("raw.orders")["id"].to_pylist()) == [0, 1, 2, 3, 4]
