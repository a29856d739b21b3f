"""Files arrive, runs crash anywhere and run again: every row is there exactly once."""

import os
import random
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from ingest_and_audit import SOURCE
from mortal import Crash, Mortal

from onward.core.clock import ReplayClock
from onward.infra.lake.iceberg import IcebergLake, open_lake
from onward.stages.ingest.adapters.files import FileReader
from onward.stages.ingest.port import Surroundings
from onward.stages.ingest.step import ingest, pending
from onward.stages.validate.step import audit, settle

DRIVER = Path(__file__).with_name("ingest_and_audit.py")


def files_in(folder: Path) -> FileReader:
    return FileReader(Surroundings(folder=folder))


def arrive(folder: Path, number: int, rows: int) -> list[int]:
    """Write a file of rows of which one in three is negative and one in five unreadable."""
    ids = [number * 100 + i for i in range(rows)]
    lines = [f"{i},2024-01-01,{'x' if number and i % 5 == 4 else i % 3 - 0.5}" for i in ids]
    (folder / "in").mkdir(exist_ok=True)
    (folder / "in" / f"{number:03}.csv").write_text("\n".join(["id,at,x", *lines, ""]))
    return ids


def stored(folder: Path) -> list[int]:
    lake = open_lake(folder / "lake")
    found: list[int] = []
    for table in lake.tables():
        rows = lake.read(table)
        assert ("_unreadable" in rows.column_names) == table.startswith("quarantine")
        found += rows["id"].to_pylist()
    return sorted(found)


events = st.lists(
    st.tuples(
        st.integers(0, 2),  # files that arrive before the run
        st.integers(0, 12),  # rows in each
        st.integers(0, 5),  # the effect at which the run dies; 0 is none
        st.booleans(),  # after the effect, or before
        st.sampled_from(["audit again", "run again", "another run"]),
    ),
    min_size=1,
    max_size=5,
)


@settings(
    max_examples=10,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
)
@given(events)
def test_no_row_is_lost_or_doubled(happened: list[tuple]) -> None:
    clock = ReplayClock(datetime(2024, 1, 1, tzinfo=UTC))
    with TemporaryDirectory() as name:
        folder = Path(name)
        expected = arrive(folder, 0, 3)
        count = 0
        for number, (files, rows, effects, after, then) in enumerate(happened):
            for _each in range(files):
                count += 1
                expected += arrive(folder, count, rows)
            lake = open_lake(folder / "lake")
            run, batch = f"run{number}", None
            try:
                mortal: Any = Mortal(lake, effects, after)
                batch = ingest(SOURCE, reader=files_in(folder), lake=mortal, run=run)
                if batch is not None:
                    audit(batch, SOURCE.checks, lake=mortal, clock=clock, required=("id", "at"))
                continue
            except Crash:
                pass
            if then == "audit again" and batch is not None:  # its ingest was recorded
                audit(batch, SOURCE.checks, lake=lake, clock=clock, required=("id", "at"))
            elif then == "run again":
                _run(lake, folder, run, clock)
        lake = open_lake(folder / "lake")
        _run(lake, folder, "last", clock)
        assert not pending(SOURCE, reader=files_in(folder), lake=lake)
        assert stored(folder) == sorted(expected)


def _run(lake: IcebergLake, folder: Path, run: str, clock: ReplayClock) -> None:
    settle(SOURCE.table, lake=lake)
    batch = ingest(SOURCE, reader=files_in(folder), lake=lake, run=run)
    if batch is not None:
        audit(batch, SOURCE.checks, lake=lake, clock=clock, required=("id", "at"))


def drive(folder: Path, run: str, line: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(DRIVER), str(folder), run, str(line)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={k: v for k, v in os.environ.items() if not k.startswith("COV")},
    )


@pytest.mark.crash
def test_killed_at_any_line(tmp_path: Path) -> None:
    dice = random.Random(20240101)
    expected = arrive(tmp_path, 0, 12)
    whole = drive(tmp_path, "run0", 0)
    assert whole.returncode == 0, whole.stderr
    lines = int(whole.stdout)
    for number in range(1, 5):
        expected += arrive(tmp_path, number, 12)
        line = dice.randrange(1, lines)
        killed = drive(tmp_path, f"run{number}", line)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        if number % 2:
            again = drive(tmp_path, f"run{number}", 0)
            assert again.returncode == 0, again.stderr
            assert stored(tmp_path) == sorted(expected)
    last = drive(tmp_path, "last", 0)
    assert last.returncode == 0, last.stderr
    assert stored(tmp_path) == sorted(expected)
