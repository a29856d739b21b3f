"""``kill -9`` inside a replay: after it ran again, every row is released and marked once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from audited import TABLE, audited, published, versions
from ibis import _

import onward as ow
from onward.infra.lake.iceberg import open_lake
from onward.stages.validate.quarantine.replay import replays

WORKER = Path(__file__).with_name("replay_worker.py")
# The rows are staged first, then their new versions.
PLACES = (
    ("after", "stage", "1"),
    ("after", "stage", "2"),
    ("before", "publish", "1"),
    ("after", "publish", "1"),
    ("before", "append", "1"),
    ("after", "append", "1"),
)


def drive(folder: Path, run: str, *place: str) -> int:
    command = [sys.executable, str(WORKER), str(folder), run, *place]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(command, env=env, timeout=240, check=False).returncode


@pytest.mark.crash
@pytest.mark.slow
def test_killed_anywhere_and_run_again_a_replay_releases_once(tmp_path: Path) -> None:
    folder = tmp_path / "lake"
    lake = open_lake(folder)
    small = ow.check("x is small", _.x < 10)
    for number, place in enumerate(PLACES):
        rows = pa.table({"id": [10 * number, 10 * number + 1], "x": [1.0, 50.0]})
        audited(lake, rows, f"r{number}", small)
        assert drive(folder, f"killed{number}", *place) == -signal.SIGKILL, place
    audited(lake, pa.table({"id": [100], "x": [500.0]}), "last", small)
    assert drive(folder, "whole") == 0
    everything = sorted(10 * n + i for n in range(len(PLACES)) for i in (0, 1))
    assert published(lake) == everything
    newest = {row["id"]: row for row in versions(lake)}
    assert [i for i, row in newest.items() if row["_released_by"] is None] == [100]
    marks = [row["id"] for row in versions(lake) if row["_released_by"] is not None]
    assert marks == [i for i in everything if i % 10]
    told = list(replays(TABLE, lake=lake))
    assert sum(r.released for r in told) == len(PLACES)
    assert all(r.published is not None for r in told if r.released)
