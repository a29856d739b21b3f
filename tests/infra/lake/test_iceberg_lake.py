"""What is Iceberg's own in the lake: files, durability, corruption, DuckDB's two ways to read."""

from __future__ import annotations

import os
import sqlite3
import stat
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import CommitFailedException
from sqlalchemy.exc import OperationalError

from onward.core.errors import (
    BusyError,
    CorruptError,
    DivergedError,
    NotFoundError,
    OnwardError,
)
from onward.core.records import Batch, DatasetRef
from onward.infra.lake import catalog as catalogs
from onward.infra.lake import commit
from onward.infra.lake.iceberg import IcebergLake, open_lake

ROWS = pa.table({"id": [1, 2], "name": ["x", "y"]})


@pytest.fixture
def lake(tmp_path: Path) -> IcebergLake:
    return open_lake(tmp_path / "lake")


def files(lake_folder: Path, pattern: str) -> list[Path]:
    return sorted((lake_folder / "lake" / "warehouse").rglob(pattern))


def shown(lake: IcebergLake, data: DatasetRef | Batch) -> pa.Table:
    with lake.open({"data": data}) as connection:
        return connection.table("data").to_pyarrow()


# ---------------------------------------------------------------- files


def test_a_folder_with_any_name_holds_a_lake(tmp_path: Path) -> None:
    folder = tmp_path / "a 100%25 'odd' #name? é;"
    lake = open_lake(folder)
    lake.append("raw.n", ROWS, key="1")
    assert shown(open_lake(folder), lake.dataset("raw.n")) == ROWS
    assert sorted(path.name for path in folder.iterdir()) == [
        "catalog.db", "catalog.lock", "warehouse",
    ]  # fmt: skip


def test_a_relative_folder_is_found_from_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    lake = open_lake(Path("lake"))
    lake.append("raw.n", ROWS, key="1")
    monkeypatch.chdir("/")
    assert lake.read("raw.n") == ROWS


def test_everything_is_synced_before_the_catalog_commits(
    lake: IcebergLake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: set[tuple[int, int]] = set()

    def fsync(handle: int) -> None:
        status = os.fstat(handle)
        kind = "folder" if stat.S_ISDIR(status.st_mode) else status.st_size
        synced.add((status.st_ino, kind))

    monkeypatch.setattr(os, "fsync", fsync)
    lake.append("raw.n", ROWS, key="1")
    lake.stage("raw.n", ROWS, branch="b", mode="replace", summary={})
    written = list((tmp_path / "lake" / "warehouse").rglob("*"))
    assert len(written) > 8
    for path in [*written, tmp_path / "lake" / "warehouse"]:
        status = path.stat()
        assert (status.st_ino, "folder" if path.is_dir() else status.st_size) in synced


def test_old_metadata_files_do_not_pile_up(lake: IcebergLake, tmp_path: Path) -> None:
    for number in range(30):
        lake.append("raw.n", ROWS, key=str(number))
    assert len(files(tmp_path, "*.metadata.json")) <= 22
    assert len(lake.history("raw.n")) == 30


def test_large_streams_become_several_files(
    lake: IcebergLake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commit, "_FILE_BYTES", 10_000)
    table = pa.table({"id": range(10_000)})
    lake.append("raw.n", table.to_reader(max_chunksize=1_000), key="1")
    assert len(files(tmp_path, "*.parquet")) == 5
    assert shown(lake, lake.dataset("raw.n")).sort_by("id") == table


# ---------------------------------------------------------------- lost races


def test_a_writer_that_always_loses_gives_up(
    lake: IcebergLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake.append("raw.n", ROWS, key="1")
    found = catalogs.load(lake._catalog, "raw.n")
    turns = []

    def lose(_) -> None:
        turns.append(1)
        raise CommitFailedException("again")

    with pytest.raises(BusyError, match=r"raw\.n"):
        commit.optimistic(found, lose, attempts=3)
    assert len(turns) == 3


def test_a_commit_on_another_ref_in_between_is_a_lost_race(
    lake: IcebergLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake.append("raw.n", ROWS, key="1")
    other = open_lake(lake._folder)
    inner = SqlCatalog.commit_table

    def interrupted(self, *arguments):
        if self is lake._catalog and not done:
            done.append(other.stage("raw.n", ROWS, branch="b", mode="append", summary={}))
        return inner(self, *arguments)

    done: list = []
    monkeypatch.setattr(SqlCatalog, "commit_table", interrupted)
    landed = lake.append("raw.n", ROWS, key="2")
    assert landed.rows == 4
    assert lake.head("raw.n", "b") == done[0]


def test_a_publisher_overtaken_at_the_last_moment_diverges(
    lake: IcebergLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = lake.append("raw.n", ROWS, key="1").id
    lake.stage("raw.n", ROWS, branch="a", mode="append", summary={})
    lake.stage("raw.n", ROWS, branch="b", mode="append", summary={})
    other = open_lake(lake._folder)
    inner = SqlCatalog.commit_table

    def interrupted(self, *arguments):
        if self is lake._catalog:
            other.publish("raw.n", "b", expect=base)
        return inner(self, *arguments)

    monkeypatch.setattr(SqlCatalog, "commit_table", interrupted)
    with pytest.raises(DivergedError):
        lake.publish("raw.n", "a", expect=base)
    assert [s.rows for s in lake.history("raw.n")] == [2, 4]


def test_two_publishers_of_one_branch_publish_it_once(
    lake: IcebergLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake.stage("raw.n", ROWS, branch="a", mode="append", summary={"key": "k"})
    other = open_lake(lake._folder)
    inner = SqlCatalog.commit_table

    def interrupted(self, *arguments):
        if self is lake._catalog:
            other.publish("raw.n", "a", expect=None, key="k")
        return inner(self, *arguments)

    monkeypatch.setattr(SqlCatalog, "commit_table", interrupted)
    assert lake.publish("raw.n", "a", expect=None, key="k") == lake.head("raw.n")
    assert len(lake.history("raw.n")) == 1


def test_creating_a_table_that_another_created_returns_it(lake: IcebergLake) -> None:
    lake.append("raw.n", ROWS, key="1")
    found = catalogs.create(lake._catalog, "raw.n", ROWS.schema, {})
    assert found.metadata == catalogs.load(lake._catalog, "raw.n").metadata


def test_a_value_error_that_is_no_lost_race_is_raised(lake: IcebergLake) -> None:
    lake.append("raw.n", ROWS, key="1")

    def wrong(_) -> None:
        raise ValueError("a mistake")

    with pytest.raises(ValueError, match="a mistake"):
        commit.optimistic(catalogs.load(lake._catalog, "raw.n"), wrong)


def test_rows_written_for_other_columns_are_not_committed(
    lake: IcebergLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake.append("raw.n", ROWS, key="1")
    other = open_lake(lake._folder)
    inner = SqlCatalog.commit_table

    def interrupted(self, *arguments):
        if self is lake._catalog and not done:
            done.append(True)
            other.append("raw.n", ROWS.append_column("a", pa.array([1, 2])), key="a")
        return inner(self, *arguments)

    done: list = []
    monkeypatch.setattr(SqlCatalog, "commit_table", interrupted)
    with pytest.raises(BusyError, match="columns"):
        lake.append("raw.n", ROWS.append_column("b", pa.array(["1", "2"])), key="b")
    assert lake.schema("raw.n").names == ["id", "name", "a"]


def test_compaction_that_loses_throws_its_files_away(
    lake: IcebergLake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        lake.append("raw.n", ROWS, key=str(number))
    other = open_lake(lake._folder)
    inner = SqlCatalog.commit_table

    def interrupted(self, *arguments):
        if self is lake._catalog:
            other.append("raw.n", ROWS, key="in between")
        return inner(self, *arguments)

    monkeypatch.setattr(SqlCatalog, "commit_table", interrupted)
    assert lake.compact("raw.n", every=1) is None
    assert len(files(tmp_path, "*.parquet")) == 4
    assert lake.read("raw.n").num_rows == 8


# ---------------------------------------------------------------- reading


def test_a_removed_and_restored_column_does_not_show_old_values(lake: IcebergLake) -> None:
    lake.append("raw.n", ROWS, key="1")
    staged = lake.stage("raw.n", ROWS.select(["id"]), branch="b", mode="replace", summary={})
    lake.publish("raw.n", "b", expect=staged.parent)
    lake.append("raw.n", pa.table({"id": [3], "name": [1.5]}), key="2")
    expected = [{"id": 1, "name": None}, {"id": 2, "name": None}, {"id": 3, "name": 1.5}]
    assert lake.read("raw.n").sort_by("id").to_pylist() == expected
    assert shown(lake, lake.dataset("raw.n")).sort_by("id").to_pylist() == expected


def test_nested_columns_survive_evolution(lake: IcebergLake) -> None:
    nested = pa.table({"id": [1], "tags": [["a", "b"]], "at": [{"x": 1.0, "y": None}]})
    nested = nested.set_column(
        2, "at", nested["at"].cast(pa.struct({"x": "float64", "y": "string"}))
    )
    lake.append("raw.n", nested, key="1")
    assert shown(lake, lake.dataset("raw.n")) == lake.read("raw.n") == nested
    staged = lake.stage(
        "raw.n", nested.append_column("new", pa.array([1])), branch="b", mode="append", summary={}
    )
    base = staged.parent
    batch = Batch(
        dataset="n", table="raw.n", branch="b", run="r", mode="append",
        rows=1, base=base, snapshot=staged.id,
    )  # fmt: skip
    assert shown(lake, batch).to_pylist() == [nested.to_pylist()[0] | {"new": 1}]
    lake.publish("raw.n", "b", expect=base)
    assert shown(lake, lake.dataset("raw.n")).num_rows == 2


def test_rows_that_another_engine_deleted_are_not_shown(lake: IcebergLake) -> None:
    """Positional deletes, as Spark's merge-on-read writes them."""
    from iceberg_deletes import delete_positions

    lake.append("raw.n", ROWS, key="1")
    delete_positions(catalogs.load(lake._catalog, "raw.n"), [0])
    expected = ROWS.slice(1)
    assert lake.read("raw.n") == expected
    assert shown(lake, lake.dataset("raw.n")) == expected
    assert lake.compact("raw.n", every=0) is None
    staged = lake.stage("raw.n", ROWS, branch="b", mode="upsert", summary={}, key=["id"])
    lake.publish("raw.n", "b", expect=staged.parent)
    assert lake.read("raw.n").sort_by("id") == ROWS


def test_an_upsert_rewrites_the_files_that_hold_its_keys_alone(
    lake: IcebergLake, tmp_path: Path
) -> None:
    for key in range(3):
        lake.append("raw.n", pa.table({"id": [key], "name": ["x"]}), key=str(key))
    before = set(files(tmp_path, "*.parquet"))
    staged = lake.stage(
        "raw.n", pa.table({"id": [1], "name": ["y"]}),
        branch="b", mode="upsert", summary={}, key=["id"],
    )  # fmt: skip
    lake.publish("raw.n", "b", expect=staged.parent)
    assert len(set(files(tmp_path, "*.parquet")) - before) == 1
    assert lake.read("raw.n").sort_by("id")["name"].to_pylist() == ["x", "y", "x"]


def test_a_connection_spills_into_the_lakes_folder(lake: IcebergLake) -> None:
    with lake.open({}) as connection:
        found = connection.raw_sql("SELECT current_setting('temp_directory')").fetchone()
    assert found == (str(lake._folder / "spill"),)


# ---------------------------------------------------------------- corruption


def test_a_catalog_that_is_no_database(tmp_path: Path) -> None:
    lake = open_lake(tmp_path / "lake")
    lake.append("raw.n", ROWS, key="1")
    (tmp_path / "lake" / "catalog.db").write_bytes(b"garbage" * 1000)
    with pytest.raises(CorruptError, match="not a database") as caught:
        open_lake(tmp_path / "lake")
    assert "backup" in caught.value.next_step
    with pytest.raises(CorruptError):
        lake.tables()


def test_a_catalog_that_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "lake" / "catalog.db").mkdir(parents=True)
    with pytest.raises(CorruptError, match="unable to open"):
        open_lake(tmp_path / "lake")


@pytest.mark.parametrize("damage", ["missing", "garbage", "cut"])
@pytest.mark.parametrize("pattern", ["*.metadata.json", "snap-*.avro", "*-m0.avro", "*.parquet"])
def test_damaged_files_are_named(
    lake: IcebergLake, tmp_path: Path, pattern: str, damage: str
) -> None:
    lake.append("raw.n", ROWS, key="1")
    head = DatasetRef(table="raw.n", snapshot=lake.head("raw.n").id, rows=2)
    for path in files(tmp_path, pattern):
        if damage == "missing":
            path.unlink()
        elif damage == "garbage":
            path.write_bytes(b"?" * path.stat().st_size)
        else:
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(CorruptError) as caught:
        lake.read("raw.n")
    assert "backup" in caught.value.next_step
    with pytest.raises(CorruptError), lake.open({"n": head}) as connection:
        connection.table("n").to_pyarrow()


def test_a_locked_catalog_is_busy_not_corrupt(tmp_path: Path) -> None:
    locked = OperationalError("COMMIT", {}, sqlite3.OperationalError("database is locked"))
    with pytest.raises(BusyError), catalogs.corruption(tmp_path, "the catalog"):
        raise locked


def test_a_table_that_vanished_is_not_found(lake: IcebergLake) -> None:
    lake.append("raw.n", ROWS, key="1")
    with (
        pytest.raises(NotFoundError),
        lake.open({"x": DatasetRef(table="raw.m", snapshot=1, rows=0)}),
    ):
        pass


def test_a_full_disk_is_not_called_damage(tmp_path: Path) -> None:
    full = OperationalError("INSERT", {}, sqlite3.OperationalError("database or disk is full"))
    with (
        pytest.raises(OnwardError, match="the disk is full") as told,
        catalogs.corruption(tmp_path, "t"),
    ):
        raise full
    assert not isinstance(told.value, CorruptError)


def test_a_query_that_meets_a_full_disk_says_so(lake: IcebergLake, tmp_path: Path) -> None:
    with (
        pytest.raises(OnwardError, match="the disk is full: /dev/full could not") as written,
        lake.open({}) as backend,
    ):
        backend.con.execute("COPY (SELECT range FROM range(1_000_000)) TO '/dev/full' (FORMAT csv)")
    assert "room in /dev, where" in str(written.value)
    with (
        pytest.raises(OnwardError, match=r"the disk is full: .*spill could not") as spilled,
        lake.open({}) as backend,
    ):
        backend.con.execute(
            "SET memory_limit = '16MB'; SET threads = 1; SET max_temp_directory_size = '100kB';"
            "CREATE TABLE t AS SELECT md5(range::text) AS m FROM range(1_000_000)"
        )
    assert "make room" in str(spilled.value)
    with pytest.raises(duckdb.Error, match="no_such"), lake.open({}) as backend:
        backend.con.execute("FROM no_such")
