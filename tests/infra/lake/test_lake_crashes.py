"""kill -9 at every fsync and at both edges of every catalog commit, then the same verb again."""

from __future__ import annotations

import random
import signal
from pathlib import Path

import lake_workers as workers
import pyarrow as pa
import pytest
from pyarrow import parquet

from onward.infra.lake.iceberg import IcebergLake, open_lake

BEFORE = [1, 2, 3]


def prepared(folder: Path) -> IcebergLake:
    lake = open_lake(folder)
    lake.append("raw.n", workers.numbers(1, 2), key="first")
    lake.append("raw.n", workers.numbers(3), key="second")
    return lake


def ids(lake: IcebergLake) -> list[int]:
    return sorted(lake.read("raw.n")["id"].to_pylist())


def kills(work, tmp_path: Path, prepare=prepared, every: int = 1):
    """Yield a lake for each step at which a process doing `work` was killed.

    All are tried, or one in `every` from a step that differs with each round of `make soak`.
    """
    for step in range(random.randint(1, every), 1_000, every):
        folder = tmp_path / str(step)
        prepare(folder)
        process = workers.start(workers.killed_at, step, work, folder)
        process.join(60)
        if process.exitcode == 0:
            assert step > 4
            return
        assert process.exitcode == -signal.SIGKILL
        yield open_lake(folder)
    raise AssertionError("the work never came to its end")


@pytest.mark.crash
def test_stage_of_a_new_table(tmp_path: Path) -> None:
    for lake in kills(workers.stage_new, tmp_path):
        assert lake.tables() == ["raw.n"]
        assert lake.schema("raw.new") is None
        workers.stage_new(lake)
        lake.publish("raw.new", "b", expect=None, key="new")
        assert lake.read("raw.new") == workers.numbers(1, 2)
        assert len(lake.history("raw.new")) == 1


@pytest.mark.crash
def test_stage_with_a_new_column(tmp_path: Path) -> None:
    for lake in kills(workers.stage_wider, tmp_path):
        assert ids(lake) == BEFORE
        assert lake.schema("raw.n").names == ["id"]
        base = lake.head("raw.n").id
        workers.stage_wider(lake)
        lake.publish("raw.n", "b", expect=base, key="wider")
        assert lake.schema("raw.n").names == ["id", "extra"]
        assert ids(lake) == [1, 1, 2, 2, 3]


@pytest.mark.crash
def test_stage_of_a_replacement(tmp_path: Path) -> None:
    for lake in kills(workers.replace, tmp_path):
        assert ids(lake) == BEFORE
        base = lake.head("raw.n").id
        workers.replace(lake)
        lake.publish("raw.n", "b", expect=base, key="replaced")
        assert lake.read("raw.n") == pa.table({"other": [1.5]})
        assert len(lake.history("raw.n")) == 3


@pytest.mark.crash
def test_stage_of_an_upsert(tmp_path: Path) -> None:
    for lake in kills(workers.upsert, tmp_path):
        assert ids(lake) == BEFORE
        base = lake.head("raw.n").id
        workers.upsert(lake)
        lake.publish("raw.n", "b", expect=base, key="u")
        assert ids(lake) == BEFORE
        assert len(lake.history("raw.n")) == 3


@pytest.mark.crash
def test_publish(tmp_path: Path) -> None:
    def staged(folder: Path) -> None:
        lake = open_lake(folder)
        lake.append("raw.n", workers.numbers(1, 2, 3), key="first")
        lake.stage(
            "raw.n", workers.numbers(4), branch="staged", mode="append", summary={"key": "staged"}
        )

    seen = set()
    for lake in kills(workers.publish_staged, tmp_path, staged):
        published = lake.dataset("raw.n").rows == 4
        assert ids(lake) == ([*BEFORE, 4] if published else BEFORE)
        assert (lake.head("raw.n", "staged") is None) == published
        workers.publish_staged(lake)
        assert ids(lake) == [*BEFORE, 4]
        assert len(lake.history("raw.n")) == 2
        seen.add(published)
    assert seen == {True, False}


@pytest.mark.crash
def test_append(tmp_path: Path) -> None:
    seen = set()
    for lake in kills(workers.append, tmp_path):
        landed = lake.dataset("raw.n").rows == 4
        assert ids(lake) == ([*BEFORE, 9] if landed else BEFORE)
        workers.append(lake)
        assert ids(lake) == [*BEFORE, 9]
        assert [s.summary["key"] for s in lake.history("raw.n")] == ["first", "second", "appended"]
        seen.add(landed)
    assert seen == {True, False}


@pytest.mark.crash
def test_compact(tmp_path: Path) -> None:
    for lake in kills(workers.compact, tmp_path):
        assert ids(lake) == BEFORE
        workers.append(lake)
        assert ids(lake) == [*BEFORE, 9]
        lake.compact("raw.n", every=1)
        assert ids(lake) == [*BEFORE, 9]


@pytest.mark.crash
def test_erase(tmp_path: Path) -> None:
    def staged(folder: Path) -> IcebergLake:
        lake = prepared(folder)
        lake.stage("raw.n", workers.numbers(2), branch="b", mode="append", summary={})
        return lake

    seen = set()
    for lake in kills(workers.erase, tmp_path, staged, every=5):
        seen.add(tuple(ids(lake)))
        workers.erase(lake)
        assert ids(lake) == [1, 3]
        assert 2 not in on_disk(lake)
        workers.append(lake)
        assert ids(lake) == [1, 3, 9]
        assert lake.append("raw.n", workers.numbers(1, 2), key="first").rows == 3
    assert seen <= {(1, 2, 3), (1, 3)}


@pytest.mark.crash
def test_sweep(tmp_path: Path) -> None:
    def grown(folder: Path) -> IcebergLake:
        lake = prepared(folder)
        lake.stage("raw.n", workers.numbers(8), branch="b", mode="append", summary={})
        lake.compact("raw.n", every=1)
        return lake

    for lake in kills(workers.sweep, tmp_path, grown, every=4):
        assert ids(lake) == BEFORE
        workers.append(lake)
        assert ids(lake) == [*BEFORE, 9]
        workers.sweep(lake)
        assert ids(lake) == [*BEFORE, 9]
        assert len(lake.history("raw.n")) == 1
        assert on_disk(lake) == {*BEFORE, 9}
        # two data files, of two manifests, one list, and the metadata that is logged
        assert len(list((lake._folder / "warehouse").rglob("*.avro"))) == 3
        assert not list((lake._folder / "warehouse").rglob("doomed-*"))


def on_disk(lake: IcebergLake) -> set[int]:
    """Return the ids in all data files, committed or not."""
    found = (lake._folder / "warehouse").rglob("*.parquet")
    return {n for path in found for n in parquet.read_table(path)["id"].to_pylist()}
