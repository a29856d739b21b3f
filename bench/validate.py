"""Validate and split: the audit beside one hand-written DuckDB pass, and beside data validators.

All read the same Parquet files, write the rows that hold every rule to one side and the others to
another, and say how many rows break each rule; that and both sides are compared with the truth.
Ours stages what it keeps in a lake, with reasons, rule versions and origins, and publishes it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb

from bench._audited import DATA, RULES, TWICE
from bench._comparison import Comparison
from bench._contest import Entrant, Outcome, contest
from bench.report import Row

PEERS = {
    "Polars": "bench.peers.polars.validate:runs",
    "dataframely": "bench.peers.dataframely.validate:runs",
    "Pandera": "bench.peers.pandera.validate:runs",
    "pointblank": "bench.peers.pointblank.validate:runs",
    "Great Expectations": "bench.peers.great_expectations.validate:runs",
}
SPLIT = (
    Entrant("onward", "bench.peers.onward.validate:split"),
    Entrant("DuckDB by hand", "bench.peers.duckdb.validate:split"),
    *(Entrant(name, runs) for name, runs in PEERS.items()),
)
AUDIT = (
    Entrant("onward", "bench.peers.onward.validate:audit"),
    Entrant("DuckDB by hand, SUMMARIZE", "bench.peers.duckdb.validate:split_and_summarize"),
)
TARGETS = {
    "DuckDB by hand": "<= 1.3", "dataframely": ">= 1", "Pandera": ">= 1", "pointblank": ">= 1",
    "Great Expectations": ">= 10",
}  # fmt: skip


def run(quick: bool = False) -> Sequence[Row]:
    """Split, then split with a profile of every column."""
    return measure(rows=200_000, rounds=2) if quick else measure()


def measure(rows: int = 10_000_000, rounds: int = 3) -> Sequence[Row]:
    """Return a row for each other contestant, and for the memory of the peers."""
    with tempfile.TemporaryDirectory(prefix="onward-bench-") as name:
        place = Path(name)
        given, warm = (
            _written(place / "rows.parquet", rows),
            _written(place / "few.parquet", 10_000),
        )
        work = f"validate and split {rows:,} x 10, {len(RULES)} rules"
        found = contest(SPLIT, given, warm=warm, folder=place, rounds=rounds, fresh=True)
        split = Comparison(work=work, ours="onward", limit="DuckDB by hand", targets=TARGETS)
        told = [
            *split.rows(found, _wrong(found, given["files"][0])),
            *split.memory(found, ">= 3", "dataframely", "Pandera", "pointblank"),
        ]
        hand = AUDIT[1].name
        found = contest(AUDIT, given, warm=warm, folder=place, rounds=rounds, fresh=True)
        audit = Comparison(
            work=f"audit, with a profile, {rows:,} x 10, {len(RULES)} rules",
            ours="onward", limit=hand, targets={hand: "<= 1.3"},
        )  # fmt: skip
        return [*told, *audit.rows(found, _wrong(found, given["files"][0]))]


def _written(file: Path, rows: int) -> Mapping[str, Any]:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(f"COPY ({DATA.format(rows=rows)}) TO '{file}' (COMPRESSION zstd)")
    return {"files": [str(file)], "rules": RULES, "twice": TWICE}


def _wrong(outcomes: Mapping[str, Outcome], file: str) -> dict[str, str]:
    """Say whose counts or sides are not the rules' own; ours must be."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        counts, sides = _truth(connection, file)
        found = {}
        for name, outcome in outcomes.items():
            if outcome.runs:
                told = [
                    f"{rule}: {outcome['counts'].get(rule, 0):,} of {count:,}"
                    for rule, count in counts.items()
                    if outcome["counts"].get(rule, 0) != count
                ]
                got = {s: _side(connection, f"read_parquet('{outcome[s]}')") for s in sides}
                if got != sides:
                    told.append(f"{got['bad'][0]:,} of {sides['bad'][0]:,} offenders split off")
                if told:
                    found[name] = f"wrong: {'; '.join(told)}"
    assert "onward" not in found, found
    return found


def _truth(connection: duckdb.DuckDBPyConnection, file: str) -> tuple[dict[str, int], dict]:
    """Return each rule's offenders, judged one by one, and the sums of both sides."""
    connection.execute(f"CREATE VIEW batch AS FROM read_parquet('{file}')")
    connection.execute(f"CREATE TABLE twice AS {TWICE}")
    each = ", ".join(f"count(*) FILTER (({rule}) IS NOT TRUE)" for rule in RULES.values())
    [broken] = connection.execute(f"SELECT {each} FROM batch").fetchall()
    holds = " AND ".join(f"({rule})" for rule in RULES.values())
    good = _side(connection, f"batch WHERE {holds}")
    bad = _side(connection, f"batch WHERE ({holds}) IS NOT TRUE")
    return dict(zip(RULES, broken, strict=True)), {"good": good, "bad": bad}


def _side(connection: duckdb.DuckDBPyConnection, relation: str) -> tuple[int, int]:
    """Return how many rows there are, and a sum over them that does not depend on their order."""
    values = "id::BIGINT, epoch_us(seen_at::TIMESTAMPTZ), distance, delay, origin, tailnum"
    query = f"SELECT count(*), sum(hash({values})) FROM {relation}"
    [found] = connection.execute(query).fetchall()
    return found
