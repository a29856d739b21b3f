"""Validate: the whole audit beside one hand-written DuckDB pass that writes the same two sides.

`python -m bench.validate --rows 1000000` measures another size than `python -m bench validate`.
"""

from __future__ import annotations

import argparse
import gc
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING
from unittest import mock

import onward as ow
from bench.report import Row
from onward.core.clock import SystemClock

if TYPE_CHECKING:
    from onward.core.declarations import Check
    from onward.core.records import Batch
    from onward.infra.lake.iceberg import IcebergLake

ROWS = 10_000_000
ROUNDS = 3

# What is wrong, and where: every rule has offenders, about 1 % of the rows in all.
DATA = """
SELECT
  CASE WHEN h % 4999 = 0 THEN i - 1 ELSE i END AS id,
  TIMESTAMPTZ '2013-01-01 00:00:00+00' + to_seconds(i) AS seen_at,
  CASE WHEN h % 1009 = 0 THEN -1.0 ELSE (h % 5000)::DOUBLE END AS distance,
  CASE WHEN h % 997 = 0 THEN 9999.0 ELSE (h % 300)::DOUBLE - 60 END AS delay,
  CASE WHEN h % 2003 = 0 THEN 'XXX' ELSE ['EWR', 'JFK', 'LGA'][1 + h % 3] END AS origin,
  CASE WHEN h % 3001 = 0 THEN NULL ELSE 'D' || (h % 105) END AS dest,
  CASE WHEN h % 1499 = 0 THEN 'bad tail' ELSE 'N' || (h % 9000) END AS tailnum,
  CASE WHEN h % 4001 = 0 THEN -5 ELSE h % 600 END AS seats,
  CASE WHEN h % 2503 = 0 THEN 200.0 ELSE (h % 1000) / 10.0 END AS humidity,
  CASE WHEN h % 3511 = 0 THEN NULL ELSE h % 2 = 0 END AS daylight
FROM (SELECT i, (hash(i) // 2)::BIGINT AS h FROM range({rows}) r(i))
"""

RULES = {
    "id": "id NOT IN (SELECT id FROM twice)",
    "seen_at": "seen_at < TIMESTAMPTZ '2100-01-01 00:00:00+00'",
    "distance low": "distance > 0",
    "distance high": "distance < 6000",
    "delay low": "delay >= -120",
    "delay high": "delay < 1500",
    "origin": "origin IN ('EWR', 'JFK', 'LGA')",
    "dest": "dest IS NOT NULL",
    "dest form": "starts_with(dest, 'D')",
    "tail form": "starts_with(tailnum, 'N')",
    "tail length": "length(tailnum) BETWEEN 2 AND 6",
    "seats": "seats >= 0",
    "humidity": "humidity BETWEEN 0 AND 100",
    "daylight": "daylight IS NOT NULL",
    "far or early": "distance > 100 OR delay < 1000",
}


def checks() -> tuple[Check, ...]:
    """Return `RULES` as a user declares them."""
    from datetime import UTC, datetime

    from ibis import _

    rules = (
        _.seen_at < datetime(2100, 1, 1, tzinfo=UTC),
        _.distance > 0,
        _.distance < 6000,
        _.delay >= -120,
        _.delay < 1500,
        _.origin.isin(["EWR", "JFK", "LGA"]),
        _.dest.notnull(),
        _.dest.startswith("D"),
        _.tailnum.startswith("N"),
        _.tailnum.length().between(2, 6),
        _.seats >= 0,
        _.humidity.between(0, 100),
        _.daylight.notnull(),
        (_.distance > 100) | (_.delay < 1000),
    )
    unique, *names = RULES
    on_rows = (ow.check(name, rule) for name, rule in zip(names, rules, strict=True))
    return (ow.unique("id", name=unique), *on_rows)


def run(quick: bool) -> Sequence[Row]:
    """Measure at 10M rows, or 200k to see that it runs."""
    return measure(200_000 if quick else ROWS)


def measure(rows: int) -> Sequence[Row]:
    """Run each in turn, `ROUNDS` times, on the same rows staged afresh."""
    from onward.infra.lake.iceberg import open_lake

    took: dict[str, list[tuple[float, float]]] = {
        "hand": [], "summarize": [], "split": [], "audit": []
    }  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="onward-bench-") as place:
        folder = Path(place)
        lake = open_lake(folder / "lake")
        for number in range(ROUNDS):
            split, whole = _stage(lake, rows, f"split{number}"), _stage(lake, rows, f"all{number}")
            files = sorted(map(str, folder.rglob(f"split{number}/data/*.parquet")))
            turns = [
                ("hand", lambda f=files: _by_hand(f, folder)),
                ("split", lambda b=split: _split(lake, b)),
                ("summarize", lambda f=files: _summarized(f)),
                ("audit", lambda b=whole: _audit(lake, b)),
            ]
            found = dict(
                _timed(took, name, work) for name, work in (turns, turns[::-1])[number % 2]
            )
            assert found["hand"] == found["split"] == found["audit"] > 0, found
    seconds = {name: median(wall for wall, _ in each) for name, each in took.items()}
    cpu = {name: median(c for _, c in each) for name, each in took.items()}
    offenders = found["hand"]
    by_hand, ours = seconds["hand"], seconds["split"]
    profiled, audit = by_hand + seconds["summarize"], seconds["audit"]
    work = f"{rows:,} x 10, {len(RULES)} rules"
    note = f"limit: hand-written DuckDB, COPY of both sides; median of {ROUNDS}"
    return [
        Row(
            work=f"validate and split {work}",
            ours=ours,
            limit=by_hand,
            ratio=ours / by_hand,
            target="<= 1.3",
            unit="s",
            note=f"{note}; CPU x {cpu['split'] / cpu['hand']:.2f}; {offenders:,} offenders",
        ),
        Row(
            work=f"audit {work}",
            ours=audit,
            limit=profiled,
            ratio=audit / profiled,
            target="<= 1.3",
            unit="s",
            note=f"{note}, and DuckDB's SUMMARIZE for the profile; "
            f"CPU x {cpu['audit'] / (cpu['hand'] + cpu['summarize']):.2f}",
        ),
    ]


def _timed(
    took: dict[str, list[tuple[float, float]]], name: str, work: Callable[[], int]
) -> tuple[str, int]:
    """Do `work` with nothing left over to write to disk; keep its wall and CPU seconds."""
    gc.collect()
    os.sync()
    start, before = time.perf_counter(), time.process_time()
    found = work()
    took[name].append((time.perf_counter() - start, time.process_time() - before))
    return name, found


def _by_hand(files: list[str], folder: Path) -> int:
    import duckdb

    good, bad = folder / "good.parquet", folder / "bad.parquet"
    mask = " | ".join(
        f"(CASE WHEN {rule} THEN 0 ELSE {1 << i} END)" for i, rule in enumerate(RULES.values())
    )
    with duckdb.connect(config={"temp_directory": str(folder / "spill")}) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(f"CREATE VIEW batch AS SELECT * FROM read_parquet({files})")
        connection.execute(
            "CREATE TABLE twice AS SELECT id FROM batch GROUP BY id HAVING count(*) > 1"
        )
        connection.execute(
            f"CREATE TABLE bad AS SELECT * FROM (SELECT *, {mask} AS mask FROM batch) "
            "WHERE mask != 0"
        )
        connection.execute(f"COPY bad TO '{bad}' (COMPRESSION zstd)")
        connection.execute(
            f"COPY (SELECT * FROM batch WHERE {' AND '.join(f'({r})' for r in RULES.values())}) "
            f"TO '{good}' (COMPRESSION zstd)"
        )
        [found] = connection.execute("SELECT count(*) FROM bad").fetchall()
    return int(found[0])


def _summarized(files: list[str]) -> int:
    import duckdb

    with duckdb.connect() as connection:
        query = f"SUMMARIZE SELECT * FROM read_parquet({files})"
        return len(connection.execute(query).fetchall())


def _split(lake: IcebergLake, batch: Batch) -> int:
    with mock.patch("onward.stages.validate.step.profile", return_value={}):
        return _audit(lake, batch)


def _audit(lake: IcebergLake, batch: Batch) -> int:
    from onward.stages.validate.step import audit

    report = audit(batch, checks(), lake=lake, clock=SystemClock())
    assert report.rows_published + report.rows_quarantined == report.rows_in == batch.rows
    return report.rows_quarantined


def _stage(lake: IcebergLake, rows: int, name: str) -> Batch:
    import duckdb

    from onward.core.records import Batch

    table = f"raw.{name}"
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        reader = connection.execute(DATA.format(rows=rows)).to_arrow_reader(122_880)
        staged = lake.stage(
            table, reader, branch="audit-bench", mode="append", summary={"key": "b"}
        )
    return Batch(
        dataset=name, table=table, branch="audit-bench", run="bench", mode="append",
        rows=rows, base=None, snapshot=staged.id, summary={"key": "b"},
    )  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS)
    for row in measure(parser.parse_args().rows):
        figures = f"ours {row.ours:.2f} s, limit {row.limit:.2f} s, x {row.ratio:.2f}"
        print(f"{row.work}: {figures}; {row.note}")
