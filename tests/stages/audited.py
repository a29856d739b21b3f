"""A lake with batches that were audited, for tests of what comes after."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from onward.core.clock import ReplayClock
from onward.core.records import Batch, Replay, ValidationReport
from onward.infra.lake.iceberg import IcebergLake
from onward.stages.validate.quarantine.replay import replay
from onward.stages.validate.step import audit

NOW = datetime(2024, 5, 1, tzinfo=UTC)
CLOCK = ReplayClock(NOW)
TABLE = "raw.orders"
QUARANTINE = "quarantine.raw_orders"


def audited(lake: IcebergLake, rows: pa.Table, run: str, *checks: Any) -> ValidationReport:
    """Stage `rows` as a batch of raw.orders and audit it."""
    head = lake.head(TABLE)
    summary = {"key": f"{run}@{head and head.id}"}
    staged = lake.stage(TABLE, rows, branch=f"audit-{run}", mode="append", summary=summary)
    batch = Batch(
        dataset="orders", table=TABLE, branch=f"audit-{run}", run=run, mode="append",
        rows=rows.num_rows, base=head.id if head else None, snapshot=staged.id, summary=summary,
    )  # fmt: skip
    return audit(batch, checks, lake=lake, clock=CLOCK, required=("id",))


def replayed(lake: IcebergLake, run: str, *checks: Any, **given: Any) -> Replay:
    """Replay raw.orders."""
    return replay(
        "orders", TABLE, checks, lake=lake, clock=CLOCK, run=run, required=("id",), **given
    )


def published(lake: IcebergLake) -> list[int]:
    """Return the ids of the published rows, with repetitions."""
    return sorted(lake.read(TABLE)["id"].to_pylist())


def versions(lake: IcebergLake) -> list[dict[str, Any]]:
    """Return every version of every quarantined row, by id of the row and version."""
    found: list[dict[str, Any]] = lake.read(QUARANTINE).to_pylist()
    return sorted(found, key=lambda row: (row["id"], row["_row_version"]))
