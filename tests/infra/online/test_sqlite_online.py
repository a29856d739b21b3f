"""The SQLite store's own matters: processes, and files that are no store."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from onward.core.errors import CorruptError, OnwardError
from onward.core.records import ViewPlan
from onward.infra.online.sqlite import SqliteOnlineStore, open_store
from soak.disk import memory_disk, no_room

AT = datetime(2013, 6, 1, tzinfo=UTC)
VIEW = ViewPlan(
    name="v", version=1, table="features.v_v1", entity=("entity",), columns=("a", "b")
)  # fmt: skip

WRITER = f"""
import sys
from datetime import UTC, datetime
import pyarrow as pa
from onward.core.records import Materialized, ViewPlan
from onward.infra.online.sqlite import open_store
view = {VIEW!r}
at = datetime.fromtimestamp({AT.timestamp()!r}, UTC)
store = open_store(sys.argv[1])
count = 0
while True:
    count += 1
    rows = pa.table({{
        "entity": ["x", "y"],
        "event_time": pa.array([{AT.timestamp()!r}] * 2).cast("int64").cast("timestamp[s]"),
        "a": [float(count)] * 2, "b": [float(count)] * 2,
    }})
    store.write(view, rows, mark=Materialized(snapshot=count, at=at, newest=at))
    print(count, flush=True)
"""


def rows(value: float) -> pa.Table:
    times = pa.array([AT] * 2, pa.timestamp("us", "UTC"))
    return pa.table({"entity": ["x", "y"], "event_time": times, "a": [value] * 2, "b": [value] * 2})


def features(store: SqliteOnlineStore, *names: str) -> list[tuple[object, ...] | None]:
    [found] = store.read([(VIEW, [(name,) for name in names])])
    return [None if row is None else row[1] for row in found]


def test_a_file_that_is_no_store_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "online.db"
    path.write_bytes(b"not a database, but long enough to look at" * 100)
    with pytest.raises(CorruptError, match="is no online store"):
        open_store(str(path))


def test_a_full_disk_makes_no_file_a_wrong_one(tmp_path: Path) -> None:
    with memory_disk(tmp_path / "disk", 1) as mounted:
        if not mounted:
            pytest.skip("no file system can be mounted here")
        path = str(tmp_path / "disk" / "online.db")
        with no_room(tmp_path / "disk", mounted, list):
            with pytest.raises(OnwardError, match="the disk is full") as told:
                open_store(path)
            assert not isinstance(told.value, CorruptError)
        open_store(path).close()


def test_a_store_that_another_connection_fills_is_seen(tmp_path: Path) -> None:
    reader, writer = (open_store(str(tmp_path / "new" / "online.db")) for _ in range(2))
    assert reader.read([(VIEW, [("x",)])]) == [[None]]
    writer.write(VIEW, rows(1.0))
    assert features(reader, "x") == [(1.0, 1.0)]
    reader.close()
    writer.close()


def test_a_new_file_may_be_opened_by_many_at_once(tmp_path: Path) -> None:
    def together(path: str) -> None:
        with ThreadPoolExecutor(6) as pool:
            for store in pool.map(open_store, [path] * 6):
                store.close()

    for number in range(20):
        together(str(tmp_path / f"{number}.db"))


@pytest.mark.crash
def test_readers_see_whole_writes_while_a_writer_is_killed(tmp_path: Path) -> None:
    path = str(tmp_path / "online.db")
    reader = open_store(path)
    for _ in range(3):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, path],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert writer.stdout is not None
        acknowledged = 0
        while acknowledged < 200:
            acknowledged = int(writer.stdout.readline())
            x, y = features(reader, "x", "y")
            assert x is not None
            assert x == y, "a reader saw half a write"
        os.kill(writer.pid, signal.SIGKILL)
        rest = writer.stdout.read().split()
        writer.wait()
        writer.stdout.close()
        last = int(rest[-1]) if rest else acknowledged
        mark = reader.mark(VIEW)
        assert mark is not None
        assert mark.snapshot >= last
        assert features(reader, "x") == [(float(mark.snapshot), float(mark.snapshot))]
    reader.close()
