"""A CSV file taken in, audited with the profile that every batch gets, and published."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import onward as ow
from bench._entrant import Found, Given, timed
from onward.core.clock import SystemClock
from onward.infra.lake.iceberg import IcebergLake, open_lake
from onward.stages.ingest.adapters.files import FileReader
from onward.stages.ingest.port import Surroundings
from onward.stages.ingest.step import ingest
from onward.stages.validate.step import audit

SOURCE = ow.Source("rows", ow.files("csv/*.csv"), key="id", event_time="seen_at")


def first_batch(given: Given) -> Iterator[Found]:
    """Take it in as the first that there is of its source."""
    return _runs(given, before=False)


def columns_known(given: Given) -> Iterator[Found]:
    """Take it in after a small file of the same source, whose rows have ids below 0."""
    return _runs(given, before=True)


def _runs(given: Given, before: bool) -> Iterator[Found]:
    for number in range(1_000):
        folder = Path(given["folder"]) / str(number)
        (folder / "csv").mkdir(parents=True)
        lake = open_lake(folder / "lake")
        if before:
            (folder / "csv" / "few.csv").symlink_to(given["few"])
            _take_in(lake, folder, "r0")
        (folder / "csv" / "rows.csv").symlink_to(given["csv"])
        with timed() as took:
            _take_in(lake, folder, "r1")
        file = folder / "published.parquet"
        with lake.open({"rows": lake.dataset(SOURCE.table)}) as connection:
            connection.con.execute(f"COPY (FROM rows WHERE id >= 0) TO '{file}'")
        yield took | {"table": f"read_parquet('{file}')"}


def _take_in(lake: IcebergLake, folder: Path, run: str) -> None:
    reader = FileReader(Surroundings(folder=folder))
    batch = ingest(SOURCE, reader=reader, lake=lake, run=run)
    assert batch is not None
    required = (*SOURCE.key, SOURCE.event_time)
    audit(batch, (), lake=lake, clock=SystemClock(), required=required)
