"""The lake: an append after hundreds of commits beside the first ones, with and without upkeep."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa

from bench.report import Row
from onward.core.ports import Lake

COMMITS = 300
BLOCK = 50
TIDY_EVERY = 20


def run(quick: bool) -> Sequence[Row]:
    """Return the CPU milliseconds of the last appends of 1,000 rows beside those of the first."""
    commits = 2 * BLOCK if quick else COMMITS
    return [_row(commits, tidy=True), _row(commits, tidy=False)]


def _row(commits: int, *, tidy: bool) -> Row:
    first, last, upkeep = _appends(commits, tidy=tidy)
    told = f"compaction and a sweep every {TIDY_EVERY}: {upkeep:.1f} ms a commit besides"
    return Row(
        work=f"append 1,000 rows, {commits}th commit {'with' if tidy else 'without'} upkeep",
        ours=last,
        limit=first,
        ratio=last / first,
        target="<= 1.2" if tidy else "",
        unit="ms CPU",
        note=f"limit: the first {BLOCK}" + (f"; {told}" if tidy else ""),
    )


def _appends(commits: int, *, tidy: bool) -> tuple[float, float, float]:
    from onward.infra.lake.iceberg import open_lake

    rows = pa.table({"id": range(1000), "x": [1.5] * 1000})
    took: list[float] = []
    upkeep = 0.0
    with tempfile.TemporaryDirectory() as folder:
        lake = open_lake(Path(folder))
        for number in range(commits):
            start = time.process_time()
            lake.append("raw.n", rows, key=str(number))
            took.append(time.process_time() - start)
            if tidy and (number + 1) % TIDY_EVERY == 0:
                start = time.process_time()
                _tidy(lake)
                upkeep += time.process_time() - start
    first, last = (statistics.median(part) for part in (took[:BLOCK], took[-BLOCK:]))
    return 1000 * first, 1000 * last, 1000 * upkeep / commits


def _tidy(lake: Lake) -> None:
    lake.compact("raw.n", every=TIDY_EVERY - 1)
    old = [snapshot.id for snapshot in lake.history("raw.n")][:-TIDY_EVERY]
    before = datetime.now(UTC) - timedelta(days=1)
    lake.sweep("raw.n", snapshots=old, branches=[], before=before)
