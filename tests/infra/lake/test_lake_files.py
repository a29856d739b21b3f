"""The files on the disk: which go with a snapshot, which are orphans, which notes are finished."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from pyiceberg.catalog.sql import SqlCatalog

from onward.infra.lake import catalog as catalogs
from onward.infra.lake import files
from onward.infra.lake.iceberg import IcebergLake, open_lake

NOW = datetime.now(UTC)
DAY = timedelta(days=1)
ROWS = pa.table({"id": [1, 2]})


@pytest.fixture
def lake(tmp_path: Path) -> IcebergLake:
    lake = open_lake(tmp_path / "lake")
    for number in range(3):
        lake.append("raw.n", ROWS, key=str(number), state={"long": str(number) * 1_000})
    return lake


@pytest.fixture
def warehouse(lake: IcebergLake) -> Path:
    return lake._folder / "warehouse"


def sweep(lake: IcebergLake, *snapshots: int, before: datetime = NOW - DAY):
    return lake.sweep("raw.n", snapshots=snapshots, branches=[], before=before)


def names(warehouse: Path, pattern: str) -> set[str]:
    return {path.name for path in warehouse.rglob(pattern)}


def test_what_only_an_old_snapshot_needed_is_deleted(lake: IcebergLake, warehouse: Path) -> None:
    first, second, _ = lake.history("raw.n")
    lake.compact("raw.n", every=1)
    before = names(warehouse, "*")
    sweep(lake, first.id, second.id)
    gone = before - names(warehouse, "*")
    kinds = {"snap-": 2, "state-": 2}
    for start, count in kinds.items():
        assert len([name for name in gone if name.startswith(start)]) == count, start
    assert not [name for name in gone if name.endswith(".parquet")]  # the third one needs them
    done = sweep(lake, lake.history("raw.n")[0].id)
    assert len(names(warehouse, "*.parquet")) == 1
    assert done.files >= 4
    assert lake.read("raw.n").num_rows == 6


def test_orphans_go_when_they_are_old_enough(lake: IcebergLake, warehouse: Path) -> None:
    [data, *_] = warehouse.rglob("*.parquet")
    strays = [data.with_name("stray.parquet"), next(warehouse.rglob("metadata")) / "stray.avro"]
    for path in strays:
        path.write_bytes(b"left by a crash")
    assert sweep(lake).files == 0
    for path in strays:
        os.utime(path, ((NOW - 2 * DAY).timestamp(),) * 2)
    done = sweep(lake)
    assert (done.files, done.orphans, done.bytes) == (2, 2, 30)
    assert not any(path.exists() for path in strays)
    assert lake.read("raw.n").num_rows == 6


def test_nothing_that_the_table_needs_is_an_orphan(lake: IcebergLake, warehouse: Path) -> None:
    lake.stage("raw.n", ROWS, branch="b", mode="append", summary={})
    before = names(warehouse, "*")
    assert sweep(lake, before=NOW + DAY).files == 0
    assert names(warehouse, "*") == before


def test_a_note_is_finished_by_whoever_comes_next(lake: IcebergLake, warehouse: Path) -> None:
    table = catalogs.load(lake._catalog, "raw.n")
    [needed, *_] = warehouse.rglob("*.parquet")
    stray = needed.with_name("stray.parquet")
    stray.write_bytes(b"doomed, and its remover was killed")
    files.doom(table, [str(stray), str(needed), str(stray) + ".gone-already"])
    torn = next(warehouse.rglob("metadata")) / "doomed-torn.json"
    torn.write_text("[")
    sweep(lake)
    assert not stray.exists()
    assert needed.exists()
    assert list(warehouse.rglob("doomed-*")) == [torn]


def test_a_commit_in_between_is_seen(lake: IcebergLake, monkeypatch: pytest.MonkeyPatch) -> None:
    first, *_ = lake.history("raw.n")
    other = open_lake(lake._folder)
    inner = SqlCatalog.commit_table

    def interrupted(self, *arguments):
        if self is lake._catalog and not done:
            done.append(other.append("raw.n", ROWS, key="between"))
        return inner(self, *arguments)

    done: list = []
    monkeypatch.setattr(SqlCatalog, "commit_table", interrupted)
    assert sweep(lake, first.id).snapshots == (first.id,)
    assert lake.head("raw.n").id == done[0].id
    assert lake.read("raw.n").num_rows == 8


def test_many_commits_are_planned_from_few_manifests(tmp_path: Path) -> None:
    lake = open_lake(tmp_path / "lake")
    told = [
        lake.append("raw.n", pa.table({"id": [number]}), key=str(number)) for number in range(35)
    ]
    table = lake._load("raw.n")
    head = table.current_snapshot()
    assert head is not None
    assert len(head.manifests(table.io)) < 10
    assert sorted(lake.read("raw.n")["id"].to_pylist()) == list(range(35))
    for before, after in ((0, 1), (8, 9), (9, 10), (19, 20), (5, 34)):  # also across what merged
        delta = lake.added("raw.n", after=told[before].id, upto=told[after].id)
        assert delta is not None
        with lake.open({"gained": delta}) as backend:
            gained = backend.raw_sql("SELECT id FROM gained ORDER BY id").fetchall()
        assert gained == [(number,) for number in range(before + 1, after + 1)]
