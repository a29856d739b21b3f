"""A CSV file taken in, audited with the profile that every batch gets, and published."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bench._entrant import Found, Given, timed


def runs(given: Given) -> Iterator[Found]:
    import onward as ow
    from onward.core.clock import SystemClock
    from onward.infra.lake.iceberg import open_lake
    from onward.stages.ingest.adapters.files import FileReader
    from onward.stages.ingest.port import Surroundings
    from onward.stages.ingest.step import ingest
    from onward.stages.validate.step import audit

    source = ow.Source("rows", ow.files(given["csv"]), key="id", event_time="seen_at")
    reader = FileReader(Surroundings(folder=Path(given["folder"])))
    for number in range(1_000):
        folder = Path(given["folder"]) / str(number)
        lake = open_lake(folder / "lake")
        with timed() as took:
            batch = ingest(source, reader=reader, lake=lake, run="r1")
            assert batch is not None
            required = (*source.key, source.event_time)
            audit(batch, source.checks, lake=lake, clock=SystemClock(), required=required)
        with lake.open({"rows": lake.dataset(source.table)}) as connection:
            file = f"{given['folder']}/published.parquet"
            connection.con.execute(f"COPY (FROM rows) TO '{file}'")
        yield took | {"table": f"read_parquet('{file}')"}
