"""A CSV file copied to Parquet: no audit, no snapshot, nothing forced to the disk."""

from __future__ import annotations

from collections.abc import Iterator

from bench._entrant import Found, Given, timed


def runs(given: Given) -> Iterator[Found]:
    import duckdb

    file = f"{given['folder']}/rows.parquet"
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        while True:
            with timed() as took:
                connection.execute(
                    f"COPY (FROM read_csv('{given['csv']}')) TO '{file}' (COMPRESSION zstd)"
                )
            yield took | {"table": f"read_parquet('{file}')"}
