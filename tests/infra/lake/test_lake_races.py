"""Writers in several real processes: no row is lost, none is there twice."""

from __future__ import annotations

from pathlib import Path

import pytest
from lake_workers import (
    PROCESSES,
    append_column,
    append_many,
    append_same,
    compact_often,
    numbers,
    publish,
    publish_many,
    start,
    sweep_often,
    upsert_same,
)

from onward.infra.lake.iceberg import open_lake


def finish(processes) -> None:
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0] * len(processes)


def ids(lake) -> list[int]:
    return sorted(lake.read("raw.n")["id"].to_pylist())


@pytest.mark.slow
def test_four_processes_of_25_appends_lose_none(tmp_path: Path) -> None:
    barrier = PROCESSES.Barrier(4)
    finish([start(append_many, tmp_path, writer, 25, barrier) for writer in range(4)])
    lake = open_lake(tmp_path)
    expected = [writer * 1000 + turn for writer in range(4) for turn in range(25)]
    assert ids(lake) == expected
    assert [snapshot.rows for snapshot in lake.history("raw.n")] == list(range(1, 101))


def test_the_same_key_from_four_processes_lands_once(tmp_path: Path) -> None:
    barrier = PROCESSES.Barrier(4)
    finish([start(append_same, tmp_path, "k", barrier) for _ in range(4)])
    assert ids(open_lake(tmp_path)) == [7]


def test_of_two_publishers_one_diverges_and_rebases(tmp_path: Path) -> None:
    lake = open_lake(tmp_path)
    answers = PROCESSES.Queue()
    base = None
    for turn in range(4):
        rows = {f"{name}{turn}": 2 * turn + offset for offset, name in enumerate("ab")}
        for branch, row in rows.items():
            lake.stage("raw.n", numbers(row), branch=branch, mode="append", summary={})
        barrier = PROCESSES.Barrier(2)
        finish([start(publish, tmp_path, branch, base, barrier, answers) for branch in rows])
        outcome = dict(answers.get(timeout=60) for _ in rows)
        assert sorted(outcome.values()) == ["diverged", "published"]
        loser = next(branch for branch, answer in outcome.items() if answer == "diverged")
        assert len(ids(lake)) == 2 * turn + 1

        staged = lake.stage("raw.n", numbers(rows[loser]), branch=loser, mode="append", summary={})
        base = lake.publish("raw.n", loser, expect=staged.parent).id
        assert ids(lake) == list(range(2 * turn + 2))


def test_compaction_gives_way_to_appends(tmp_path: Path) -> None:
    lake = open_lake(tmp_path)
    lake.append("raw.n", numbers(-1), key="first")
    barrier = PROCESSES.Barrier(2)
    writer = start(append_many, tmp_path, 0, 15, barrier)
    finish([writer, start(compact_often, tmp_path, 15, barrier)])
    assert ids(lake) == [-1, *range(15)]
    assert {s.summary["key"] for s in lake.history("raw.n") if "key" in s.summary} == {
        "first",
        *(f"0.{turn}" for turn in range(15)),
    }


def test_two_writers_of_new_columns_never_mix_them(tmp_path: Path) -> None:
    lake = open_lake(tmp_path)
    lake.append("raw.n", numbers(1), key="first")
    barrier = PROCESSES.Barrier(2)
    writers = [start(append_column, tmp_path, name, barrier) for name in "xy"]
    for process in writers:
        process.join(120)
    # One adds its column; the other lacks that column by now, and is refused with a reason.
    assert sorted(process.exitcode for process in writers) == [0, 1]
    _, second = lake.history("raw.n")
    name = second.summary["key"]
    assert lake.schema("raw.n").names == ["id", name]
    assert sorted(lake.read("raw.n")[name].to_pylist(), key=str) == [None, name]


def test_upserts_of_the_same_new_keys_make_no_duplicates(tmp_path: Path) -> None:
    barrier = PROCESSES.Barrier(4)
    finish([start(upsert_same, tmp_path, writer, 3, barrier) for writer in range(4)])
    lake = open_lake(tmp_path)
    assert ids(lake) == list(range(30))
    assert [snapshot.rows for snapshot in lake.history("raw.n")][-1] == 30
    assert len(lake.history("raw.n")) == 12


def test_upkeep_beside_writers_loses_and_doubles_nothing(tmp_path: Path) -> None:
    lake = open_lake(tmp_path)
    lake.append("raw.n", numbers(-1), key="first")
    barrier = PROCESSES.Barrier(4)
    finish(
        [
            start(append_many, tmp_path, 0, 10, barrier),
            start(publish_many, tmp_path, 5, barrier),
            start(compact_often, tmp_path, 10, barrier),
            start(sweep_often, tmp_path, 10, barrier),
        ]
    )
    assert ids(lake) == [-1, *range(10), *range(5_000, 5_005)]
    for snapshot in lake.history("raw.n"):
        assert lake.read("raw.n", snapshot=snapshot.id).num_rows == snapshot.rows
    for turn in range(10):
        lake.append("raw.n", numbers(turn), key=f"0.{turn}")
    assert len(ids(lake)) == 16
