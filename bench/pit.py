"""Point-in-time join of three views: ours against DuckDB's ASOF JOIN written by hand."""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Sequence
from time import perf_counter

import duckdb
import pyarrow as pa

from bench.report import Row
from onward.core.records import ViewPlan
from onward.stages.features.point_in_time import Joined, join, marks

FEATURES = ("f0", "f1", "f2", "f3")
VIEWS = 3
TTL_DAYS = 30


def run(quick: bool = False) -> Sequence[Row]:
    """Join without late data, with 5 % of it, and with 5 % after a backfill undid the marks."""
    return measure(20_000, 200_000, rounds=3) if quick else measure(1_000_000, 10_000_000, rounds=3)


def measure(spine_rows: int, view_rows: int, *, rounds: int) -> Sequence[Row]:
    """Return a row for each kind of data, all at one size."""
    found = []
    for late, marked, target, what in (
        (0.0, True, "<= 1.2", "no late data"),
        (0.05, True, "<= 1.5", "5 % late"),
        (0.05, False, "", "5 % late, marks undone by a backfill"),
    ):
        connection = duckdb.connect()
        spine = _fill(connection, spine_rows, view_rows, late)
        views = [Joined(view=_view(i), relation=f"v{i}", marked=marked) for i in range(VIEWS)]
        ours, limit = _interleaved(
            rounds,
            lambda c=connection, s=spine, v=views: join(c, s, v),
            lambda c=connection: c.execute(_by_hand()).to_arrow_table(),
        )
        found.append(
            Row(
                work=f"point in time, {spine_rows:,} x {view_rows:,} x {VIEWS} views, {what}",
                ours=ours,
                limit=limit,
                ratio=ours / limit,
                target=target,
                unit="s",
                note="limit: chained ASOF LEFT JOIN on availability, rows in any order, which"
                f" joins stale rows where data is late; median of {rounds} interleaved rounds",
            )
        )
        connection.close()
    return found


def _view(number: int) -> ViewPlan:
    return ViewPlan(
        name=f"v{number}", version=1, table=f"features.v{number}_v1", entity=("entity",),
        columns=FEATURES, ttl_s=TTL_DAYS * 86_400.0,
    )  # fmt: skip


def _fill(connection: duckdb.DuckDBPyConnection, spine: int, rows: int, late: float) -> pa.Table:
    """Make views as publishing leaves them, a hundred rows per entity, and return a spine.

    Rows are available up to a minute after their event, late ones up to three and a half days.
    """
    entities, moment = rows // 100, "to_timestamp(1.6e9 + random() * 1e7)"
    connection.execute("SELECT setseed(0.5)")
    for number in range(VIEWS):
        connection.execute(f"""
            CREATE TABLE raw AS
            SELECT entity, event_time, {", ".join(FEATURES)}, event_time + to_microseconds(
                (random() * if(random() < {late}, 3e11, 6e7))::BIGINT) AS available_at
            FROM (SELECT (random() * {entities})::BIGINT AS entity, {moment} AS event_time,
                  {", ".join(f"random() AS {f}" for f in FEATURES)} FROM range({rows}))""")
        connection.execute(f"""
            CREATE TABLE v{number} AS
            SELECT * EXCLUDE (known_at) FROM ({marks("raw", ["entity"])}) ORDER BY available_at""")
        connection.execute("DROP TABLE raw")
    connection.execute(
        f"CREATE TABLE spine AS SELECT (random() * {entities})::BIGINT AS entity,"
        f" {moment} AS event_time FROM range({spine})"
    )
    return connection.table("spine").to_arrow_table()


def _by_hand() -> str:
    chosen = ", ".join(
        f"CASE WHEN v{i}.event_time >= s.event_time - INTERVAL {TTL_DAYS} DAY THEN v{i}.{f} END"
        f" AS v{i}__{f}"
        for i in range(VIEWS)
        for f in FEATURES
    )
    joins = " ".join(
        f"ASOF LEFT JOIN v{i} ON s.entity = v{i}.entity AND s.event_time >= v{i}.available_at"
        for i in range(VIEWS)
    )
    return f"SELECT {chosen} FROM spine AS s {joins}"


def _interleaved(rounds: int, *works: Callable[[], object]) -> list[float]:
    """Return each work's median seconds, every round running all of them in turn."""
    times: list[list[float]] = [[] for _ in works]
    for _ in range(rounds):
        for work, taken in zip(works, times, strict=True):
            start = perf_counter()
            work()
            taken.append(perf_counter() - start)
    return [statistics.median(taken) for taken in times]


if __name__ == "__main__":
    asked = argparse.ArgumentParser(prog="python -m bench.pit", description=__doc__)
    asked.add_argument("--spine", type=int, default=1_000_000)
    asked.add_argument("--rows", type=int, default=10_000_000)
    asked.add_argument("--rounds", type=int, default=3)
    sizes = asked.parse_args()
    for row in measure(sizes.spine, sizes.rows, rounds=sizes.rounds):
        print(f"{row.work}: {row.ours:.2f} s, by hand {row.limit:.2f} s, ratio {row.ratio:.2f}")
