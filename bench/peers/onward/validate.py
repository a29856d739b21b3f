"""The validate room's audit of a batch that is staged already: split, quarantine, publish."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

from bench._entrant import Found, Given, timed

if TYPE_CHECKING:
    from onward.core.declarations import Check
    from onward.core.records import Batch
    from onward.infra.lake.iceberg import IcebergLake

_ROWS_AT_A_TIME = 122_880  # DuckDB's row group
_NO_PROFILE = ("onward.stages.validate.step.profile",)


def split(given: Given) -> Iterator[Found]:
    """Leave out the profile, which plain code does not make."""
    return _runs(given, lambda: mock.patch(*_NO_PROFILE, return_value={}))


def audit(given: Given) -> Iterator[Found]:
    return _runs(given, contextlib.nullcontext)


def checks() -> tuple[Check, ...]:
    """Return the rules as a user declares them."""
    from datetime import UTC, datetime

    from ibis import _

    import onward as ow

    return (
        ow.unique("id", name="id"),
        ow.check("seen_at", _.seen_at < datetime(2100, 1, 1, tzinfo=UTC)),
        ow.check("distance low", _.distance > 0),
        ow.check("distance high", _.distance < 6000),
        ow.check("delay low", _.delay >= -120),
        ow.check("delay high", _.delay < 1500),
        ow.check("origin", _.origin.isin(["EWR", "JFK", "LGA"])),
        ow.check("dest", _.dest.notnull()),
        ow.check("dest form", _.dest.isnull() | _.dest.startswith("D")),
        ow.check("tail form", _.tailnum.startswith("N")),
        ow.check("tail length", _.tailnum.length().between(2, 6)),
        ow.check("seats", _.seats >= 0),
        ow.check("humidity", _.humidity.between(0, 100)),
        ow.check("daylight", _.daylight.notnull()),
        ow.check("far or early", (_.distance > 100) | (_.delay < 1000)),
    )


def _runs(given: Given, surroundings) -> Iterator[Found]:
    from onward.core.clock import SystemClock
    from onward.infra.lake.iceberg import open_lake
    from onward.stages.validate.step import audit as audited

    folder, rules = Path(given["folder"]), checks()
    good, bad = str(folder / "good.parquet"), str(folder / "bad.parquet")
    for number in range(1_000):
        lake = open_lake(folder / str(number))
        batch = staged(lake, f"read_parquet({given['files']})")
        with surroundings(), timed() as took:
            report = audited(batch, rules, lake=lake, clock=SystemClock())
        with lake.open({"good": report.published, "bad": report.quarantine}) as connection:
            connection.con.execute(f"COPY (FROM good) TO '{good}'")
            connection.con.execute(f"COPY (FROM bad) TO '{bad}'")
        counts = {rule.rule: rule.offenders for rule in report.rules}
        yield took | {"good": good, "bad": bad, "counts": counts}


def staged(lake: IcebergLake, rows: str) -> Batch:
    """Stage the rows of a DuckDB relation as ingestion leaves them."""
    import duckdb

    from onward.core.records import Batch

    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        relation = connection.execute(f"FROM {rows}")
        snapshot = lake.stage(
            "raw.rows", relation.to_arrow_reader(_ROWS_AT_A_TIME), branch="audit-bench",
            mode="append", summary={"key": "b"},
        )  # fmt: skip
    return Batch(
        dataset="rows", table="raw.rows", branch="audit-bench", run="bench", mode="append",
        rows=snapshot.rows, base=None, snapshot=snapshot.id, summary={"key": "b"},
    )  # fmt: skip
