"""A raw value does not outlive a crash: not in the state, and not in temporary files."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from onward.infra.lake.iceberg import open_lake
from onward.infra.search.files import files_with

SCRIPT = Path(__file__).with_name("masked_ingest.py")
NAME = "Ada Planted"


def run(folder: Path, name: str, line: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), str(folder), name, str(line)],
        check=False,
        env={**os.environ, "TMPDIR": str(folder / "tmp")},
        capture_output=True,
        text=True,
    )


@pytest.mark.crash
def test_no_raw_value_outlives_a_crash(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "tmp").mkdir()
    with sqlite3.connect(tmp_path / "people.db") as db:
        db.execute("CREATE TABLE people (id INTEGER, at TEXT, name TEXT)")
        db.execute("INSERT INTO people VALUES (1, '2024-01-01 00:00:00', ?)", (NAME,))
    db.close()
    whole = run(tmp_path, "r0", 10**9)
    assert whole.returncode == 0, whole.stderr
    lines = int(whole.stdout)
    left_behind = 0
    for turn, share in enumerate((0.5, 0.8)):
        with sqlite3.connect(tmp_path / "people.db") as db:
            db.execute("INSERT INTO people VALUES (?, '2024-01-01 00:00:00', ?)", (turn + 2, NAME))
        db.close()
        killed = run(tmp_path, f"r{turn + 1}", int(lines * share))
        assert killed.returncode == -signal.SIGKILL
        left_behind += bool(files_with([NAME], tmp_path / "tmp"))
        assert files_with([NAME], tmp_path / "state") == {}
    assert left_behind  # else the test would show nothing
    assert run(tmp_path, "last", 10**9).returncode == 0
    assert list((tmp_path / "tmp").glob("onward-*")) == []
    assert files_with([NAME], tmp_path) == {tmp_path / "people.db": {NAME}}
    rows = open_lake(tmp_path / "state" / "lake").read("raw.people")
    assert rows.num_rows == 3
    assert len(set(rows["name"].to_pylist())) == 1
