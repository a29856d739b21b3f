"""One hand-written pass: a bitmask of the rules broken, a group-by for uniqueness, two copies."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bench._entrant import Found, Given, timed


def split(given: Given) -> Iterator[Found]:
    return _runs(given, profiled=False)


def split_and_summarize(given: Given) -> Iterator[Found]:
    """Besides, DuckDB's profile of the whole."""
    return _runs(given, profiled=True)


def _runs(given: Given, profiled: bool) -> Iterator[Found]:
    import duckdb

    good, bad = (f"{given['folder']}/{side}.parquet" for side in ("good", "bad"))
    while True:
        with duckdb.connect(config={"temp_directory": f"{given['folder']}/spill"}) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            connection.execute(f"CREATE VIEW batch AS FROM read_parquet({given['files']})")
            with timed() as took:
                _split(connection, given, good, bad)
                if profiled:
                    connection.execute("SUMMARIZE FROM batch").fetchall()
            bits = ", ".join(f"count(*) FILTER (mask & {1 << i} != 0)" for i in _numbers(given))
            [counts] = connection.execute(f"SELECT {bits} FROM bad").fetchall()
        yield took | {
            "good": good, "bad": bad, "counts": dict(zip(given["rules"], counts, strict=True))
        }  # fmt: skip


def _split(connection: Any, given: Given, good: str, bad: str) -> None:
    rules = given["rules"].values()
    mask = " | ".join(f"(CASE WHEN {r} THEN 0 ELSE {1 << i} END)" for i, r in enumerate(rules))
    connection.execute(f"CREATE TABLE twice AS {given['twice']}")
    connection.execute(
        f"CREATE TABLE bad AS FROM (SELECT *, {mask} AS mask FROM batch) WHERE mask != 0"
    )
    connection.execute(f"COPY bad TO '{bad}' (COMPRESSION zstd)")
    passes = " AND ".join(f"({rule})" for rule in rules)
    connection.execute(f"COPY (FROM batch WHERE {passes}) TO '{good}' (COMPRESSION zstd)")


def _numbers(given: Given) -> range:
    return range(len(given["rules"]))
