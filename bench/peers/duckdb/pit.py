"""Chained ASOF LEFT JOINs on the availability time."""

from __future__ import annotations

from collections.abc import Iterator

from bench._entrant import Found, Given, timed


def runs(given: Given) -> Iterator[Found]:
    import duckdb
    import pyarrow.parquet as pq

    connection = duckdb.connect(config={"temp_directory": f"{given['folder']}/spill"})
    connection.register("rows", pq.read_table(given["spine"]))
    query, file = _query(given), f"{given['folder']}/joined.parquet"
    while True:
        with timed() as took:
            # As a table its size is known: else the plan is for a handful of rows.
            connection.execute("CREATE OR REPLACE TEMP TABLE spine AS FROM rows")
            joined = connection.execute(query).to_arrow_table()
        pq.write_table(joined, file)
        yield took | {"file": file}


def _query(given: Given) -> str:
    chosen = ", ".join(
        f"CASE WHEN v{i}.event_time >= s.event_time - INTERVAL {given['ttl_days']} DAY"
        f" THEN v{i}.{feature} END AS v{i}__{feature}"
        for i, _ in enumerate(given["views"])
        for feature in given["features"]
    )
    joins = " ".join(
        f"ASOF LEFT JOIN read_parquet('{file}') AS v{i}"
        f" ON s.entity = v{i}.entity AND s.event_time >= v{i}.available_at"
        for i, file in enumerate(given["views"])
    )
    return f"SELECT s.row, {chosen} FROM spine AS s {joins}"
