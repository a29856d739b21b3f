"""Ingest: a CSV file to a published table, beside DuckDB's CSV to Parquet, and dlt.

Ours stages the rows on a branch, audits them (keys and times must be there; a profile of every
column) and publishes them in one commit, files forced to the disk.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import duckdb

from bench._comparison import Comparison
from bench._contest import Entrant, Outcome, contest
from bench.report import Row

DATA = """
SELECT
  i AS id,
  TIMESTAMPTZ '2013-01-01 00:00:00+00' + to_seconds(i) AS seen_at,
  (h % 5000) / 8.0 AS distance,
  (h % 300) - 60 AS delay,
  ['EWR', 'JFK', 'LGA'][1 + h % 3] AS origin,
  CASE WHEN h % 3001 != 0 THEN 'D' || (h % 105) END AS dest,
  'N' || (h % 9000) AS tailnum,
  h % 600 AS seats,
  CASE WHEN h % 2503 != 0 THEN (h % 1000) / 10.0 END AS humidity,
  h % 2 = 0 AS daylight
FROM (SELECT i, (hash(i) // 2)::BIGINT AS h FROM range({first}, {end}) r(i))
"""
TYPES = {
    "id": "BIGINT", "seen_at": "TIMESTAMPTZ", "distance": "DOUBLE", "delay": "BIGINT",
    "origin": "VARCHAR", "dest": "VARCHAR", "tailnum": "VARCHAR", "seats": "BIGINT",
    "humidity": "DOUBLE", "daylight": "BOOLEAN",
}  # fmt: skip
ENTRANTS = (
    Entrant("onward", "bench.peers.onward.ingest:columns_known"),
    Entrant("onward, first batch", "bench.peers.onward.ingest:first_batch"),
    Entrant("DuckDB to Parquet", "bench.peers.duckdb.ingest:runs"),
    Entrant("dlt to Parquet", "bench.peers.dlt.ingest:to_parquet"),
    Entrant("dlt to DuckDB", "bench.peers.dlt.ingest:to_duckdb"),
)


def run(quick: bool = False) -> Sequence[Row]:
    """Take in one CSV file of ten columns."""
    return measure(rows=100_000, rounds=2) if quick else measure()


def measure(rows: int = 5_000_000, rounds: int = 3) -> Sequence[Row]:
    """Return a row for each other contestant.

    Our first batch, whose columns' types are inferred from every value, stands among them.
    """
    with tempfile.TemporaryDirectory(prefix="onward-bench-") as place:
        csv, few = Path(place) / "rows.csv", Path(place) / "few.csv"
        _write(csv, 0, rows)
        _write(few, -1_000, 0)
        given = {"csv": str(csv), "few": str(few)}
        warm = given | {"csv": str(few)}
        outcomes = contest(ENTRANTS, given, warm=warm, folder=Path(place), rounds=rounds)
        size = csv.stat().st_size / 1e6
        told = Comparison(
            work=f"ingest {rows:,} x {len(TYPES)} rows of CSV, {size:,.0f} MB",
            ours="onward", limit="DuckDB to Parquet", targets={}, unit="rows/s",
            shown=lambda seconds: rows / seconds,
        )  # fmt: skip
        return list(told.rows(outcomes, _unlike(outcomes, rows)))


def _write(csv: Path, first: int, end: int) -> None:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        query = DATA.format(first=first, end=end)
        connection.execute(f"COPY ({query}) TO '{csv}' (HEADER)")


def _unlike(outcomes: Mapping[str, Outcome], rows: int) -> dict[str, str]:
    """Say whose rows, in whatever order, are not those that were generated; ours must be."""
    columns = ", ".join(f"{name}::{kind}" for name, kind in TYPES.items())
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")

        def sums(table: str) -> tuple[int, int]:
            query = f"SELECT count(*), sum(hash({columns})) FROM {table}"
            [found] = connection.execute(query).fetchall()
            return found

        right, found = sums(f"({DATA.format(first=0, end=rows)})"), {}
        for name, outcome in outcomes.items():
            if outcome.runs:
                if "attach" in outcome.runs[0]:
                    connection.execute(f"ATTACH '{outcome['attach']}' AS attached (READ_ONLY)")
                if (got := sums(outcome["table"])) != right:
                    found[name] = f"{got[0]:,} rows, and not those of the file"
    assert not found.keys() & {"onward", "onward, first batch"}, found
    return found
