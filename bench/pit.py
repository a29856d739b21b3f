"""Point-in-time join of three views: ours, DuckDB's ASOF JOIN by hand, Polars and Feast.

All read the same Parquet files and give the joined rows as Arrow or Polars holds them in memory;
the spine is in memory before. Every result is compared, row by row, with what was known then: of
all of an entity's rows that were available, the newest, unless it is too old.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb

from bench._comparison import Comparison
from bench._contest import Entrant, Outcome, contest
from bench.report import Row
from onward.stages.features.point_in_time import marks

FEATURES = ("f0", "f1", "f2", "f3")
VIEWS = 3
TTL_DAYS = 30
ENTRANTS = (
    Entrant("onward", "bench.peers.onward.pit:runs"),
    Entrant("DuckDB by hand", "bench.peers.duckdb.pit:runs"),
    Entrant("Polars", "bench.peers.polars.pit:runs"),
    Entrant("Feast", "bench.peers.feast.pit:runs"),
)


def run(quick: bool = False) -> Sequence[Row]:
    """Join without late data, with 5 % of it, and with 5 % after a backfill undid the marks."""
    return measure(spine=20_000, rows=200_000, rounds=2) if quick else measure()


def measure(spine: int = 1_000_000, rows: int = 10_000_000, rounds: int = 3) -> Sequence[Row]:
    """Return a row for each kind of data and each other contestant, all at one size."""
    with tempfile.TemporaryDirectory(prefix="onward-bench-") as place:
        return [
            *_joined(Path(place), spine, rows, rounds, late=0.0, kind="no late data", at_most=1.2),
            *_joined(Path(place), spine, rows, rounds, late=0.05, kind="5 % late", at_most=1.5),
        ]


def _joined(
    place: Path, spine: int, rows: int, rounds: int, *, late: float, kind: str, at_most: float
) -> Iterator[Row]:
    few = place / "few"
    few.mkdir(exist_ok=True)
    warm = {**_fill(few, 100, 1_000, late), "marked": True}
    given = {**_fill(place, spine, rows, late), "marked": True}
    outcomes = contest(ENTRANTS, given, warm=warm, folder=place, rounds=rounds)
    work = f"point in time, {spine:,} x {rows:,} x {VIEWS} views, {kind}"
    targets = {"DuckDB by hand": f"<= {at_most}", "Feast": ">= 4"}
    told = Comparison(work=work, ours="onward", limit="DuckDB by hand", targets=targets)
    yield from told.rows(outcomes, _wrong(outcomes, place / "truth.parquet"))
    if late:
        hand = outcomes["DuckDB by hand"]
        again = contest(
            ENTRANTS[:1], {**given, "marked": False}, warm=warm, folder=place, rounds=rounds
        )
        undone = Comparison(
            work=f"{work}, marks undone by a backfill", ours="onward", limit=hand.name, targets={}
        )
        both = {**again, hand.name: hand}
        yield from undone.rows(both, _wrong(both, place / "truth.parquet"))


def _fill(place: Path, spine: int, rows: int, late: float) -> Mapping[str, Any]:
    """Write views as publishing leaves them, a hundred rows per entity, a spine, and the truth.

    Rows are known at their event time, late ones up to three and a half days after it.
    """
    entities, moment = rows // 100, "to_timestamp(1.6e9 + random() * 1e7)"
    files = [str(place / f"v{number}.parquet") for number in range(VIEWS)]
    with duckdb.connect(config={"temp_directory": str(place / "spill")}) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("SELECT setseed(0.5)")
        for number, file in enumerate(files):
            connection.execute(f"""
                CREATE TABLE raw AS
                SELECT entity, event_time, {", ".join(FEATURES)}, event_time + to_microseconds(
                    if(random() < {late}, random() * 3e11, 0)::BIGINT) AS available_at
                FROM (SELECT (random() * {entities})::BIGINT AS entity, {moment} AS event_time,
                      {", ".join(f"random() AS {f}" for f in FEATURES)} FROM range({rows}))""")
            marked = f"SELECT * EXCLUDE (known_at) FROM ({marks('raw', ['entity'])})"
            connection.execute(f"CREATE TABLE v{number} AS FROM ({marked}) ORDER BY available_at")
            connection.execute(f"COPY v{number} TO '{file}' (COMPRESSION zstd)")
            connection.execute("DROP TABLE raw")
        connection.execute(
            f"CREATE TABLE spine AS SELECT row, (random() * {entities})::BIGINT AS entity,"
            f" {moment} AS event_time FROM range({spine}) r(row)"
        )
        connection.execute(f"COPY spine TO '{place / 'spine.parquet'}'")
        connection.execute(f"COPY ({_truth()}) TO '{place / 'truth.parquet'}'")
    return {
        "spine": str(place / "spine.parquet"), "views": files, "features": FEATURES,
        "ttl_days": TTL_DAYS,
    }  # fmt: skip


def _truth() -> str:
    """Return a query that looks at every row of an entity: the definition, not a plan for speed."""
    chosen = ", ".join(f"n{i}.r.{f} AS v{i}__{f}" for i in range(VIEWS) for f in FEATURES)
    newest = " ".join(
        f"""LEFT JOIN (
            SELECT s.row, max_by(v, (v.event_time, v.available_at)) AS r
            FROM spine AS s JOIN v{i} AS v USING (entity)
            WHERE v.available_at <= s.event_time
                AND v.event_time >= s.event_time - INTERVAL {TTL_DAYS} DAY
            GROUP BY s.row
        ) AS n{i} USING (row)"""
        for i in range(VIEWS)
    )
    return f"SELECT row, {chosen} FROM spine {newest}"


def _wrong(outcomes: Mapping[str, Outcome], truth: Path) -> dict[str, str]:
    """Say of how many rows each contestant's features differ; ours may differ in none."""
    names = [f"v{i}__{f}" for i in range(VIEWS) for f in FEATURES]
    differ = " OR ".join(f"t.{name} IS DISTINCT FROM o.{name}" for name in names)
    found = {}
    for name, outcome in outcomes.items():
        if outcome.runs:
            [(wrong, rows)] = duckdb.sql(
                f"SELECT count(*) FILTER (o.row IS NULL OR {differ}), count(*)"
                f" FROM '{truth}' AS t FULL JOIN '{outcome['file']}' AS o USING (row)"
            ).fetchall()
            if wrong:
                found[name] = f"wrong in {wrong:,} of {rows:,} rows"
    assert "onward" not in found, found
    return found
