"""A CSV file by dlt's filesystem source, as Arrow, its fast way, to DuckDB or to Parquet files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench._entrant import Found, Given, timed

os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"


def to_duckdb(given: Given) -> Iterator[Found]:
    import dlt

    for number in range(1_000):
        file = Path(given["folder"]) / f"{number}.duckdb"
        took = _loaded(given, dlt.destinations.duckdb(str(file)), number)
        yield took | {"attach": str(file), "table": "attached.raw.rows"}


def to_parquet(given: Given) -> Iterator[Found]:
    import dlt

    for number in range(1_000):
        folder = Path(given["folder"]) / f"files{number}"
        took = _loaded(given, dlt.destinations.filesystem(folder.as_uri()), number)
        yield took | {"table": f"read_parquet('{folder}/raw/rows/*.parquet')"}


def _loaded(given: Given, destination: Any, number: int) -> Found:
    import dlt
    from dlt.sources.filesystem import filesystem, read_csv_duckdb

    csv = Path(given["csv"])
    files = filesystem(bucket_url=csv.parent.as_uri(), file_glob=csv.name)
    rows = (files | read_csv_duckdb(chunk_size=100_000, use_pyarrow=True)).with_name("rows")
    pipeline = dlt.pipeline(
        f"bench{number}", destination=destination, dataset_name="raw",
        pipelines_dir=str(Path(given["folder"]) / "pipelines"),
    )  # fmt: skip
    with timed() as took:
        pipeline.run(rows, loader_file_format="parquet").raise_on_failed_jobs()
    return took
