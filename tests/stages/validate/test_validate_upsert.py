"""The audit of an upsert: every row that came is judged, the good ones are merged by key."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
from ibis import _

import onward as ow
from onward.core import upserts
from onward.core.clock import SystemClock
from onward.core.records import Batch, ValidationReport
from onward.infra.lake.iceberg import IcebergLake, open_lake
from onward.stages.validate.quarantine.replay import replay
from onward.stages.validate.step import audit

CHECKS = (ow.check("x is positive", _.x > 0),)


def publish(lake: IcebergLake, run: str, *rows: tuple[int, int, float]) -> ValidationReport:
    head = lake.head("raw.things")
    table = pa.Table.from_pylist([dict(zip(("id", "seen", "x"), r, strict=True)) for r in rows])
    summary = {"key": run}
    state = upserts.entry(["id"], "seen")
    staged = lake.stage(
        "raw.things", table, branch=run, mode="append", summary=summary, state=state
    )
    batch = Batch(
        dataset="things", table="raw.things", branch=run, run=run, mode="upsert", rows=len(rows),
        base=head and head.id, snapshot=staged.id, summary=summary, state=state,
        key=("id",), order="seen",
    )  # fmt: skip
    first = audit(batch, CHECKS, lake=lake, clock=SystemClock(), required=("id",))
    again = audit(batch, CHECKS, lake=lake, clock=SystemClock(), required=("id",))
    assert first == again
    return first


def stored(lake: IcebergLake, table: str) -> list[tuple[int, int, float]]:
    return sorted((r["id"], r["seen"], r["x"]) for r in lake.read(table).to_pylist())


def test_good_rows_are_merged_and_offenders_replace_nothing(tmp_path: Path) -> None:
    lake = open_lake(tmp_path / "lake")
    publish(lake, "r1", (1, 1, 1.0), (2, 1, 1.0))
    assert stored(lake, "raw.things") == [(1, 1, 1.0), (2, 1, 1.0)]
    report = publish(lake, "r2", (1, 2, 2.0), (2, 2, 2.0), (2, 3, -1.0), (3, 2, 2.0))
    assert stored(lake, "raw.things") == [(1, 2, 2.0), (2, 2, 2.0), (3, 2, 2.0)]
    assert stored(lake, "quarantine.raw_things") == [(2, 3, -1.0)]
    assert (report.rows_in, report.rows_published, report.rows_quarantined) == (4, 3, 1)
    publish(lake, "r3", (1, 3, -1.0))
    assert stored(lake, "raw.things") == [(1, 2, 2.0), (2, 2, 2.0), (3, 2, 2.0)]
    assert stored(lake, "quarantine.raw_things") == [(1, 3, -1.0), (2, 3, -1.0)]


def test_a_released_row_replaces_an_older_one_and_no_newer_one(tmp_path: Path) -> None:
    lake = open_lake(tmp_path / "lake")
    publish(lake, "r1", (1, 1, 1.0), (2, 1, 1.0))
    publish(lake, "r2", (1, 2, -1.0), (2, 2, -2.0))
    publish(lake, "r3", (1, 3, 3.0))
    lenient = (ow.unique("id"), ow.check("x is a number", _.x.notnull()))
    report = replay("things", "raw.things", lenient, lake=lake, clock=SystemClock(), run="p1")
    assert report.released == 2
    assert stored(lake, "raw.things") == [(1, 3, 3.0), (2, 2, -2.0)]
