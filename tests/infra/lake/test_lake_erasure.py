"""Erasure on the disk: no file holds an erased row, nor its bounds, and no other file goes."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from iceberg_deletes import delete_positions
from pyiceberg.catalog.sql import SqlCatalog

from onward.core.errors import BusyError
from onward.infra.lake import catalog as catalogs
from onward.infra.lake import erase as erasing
from onward.infra.lake.iceberg import IcebergLake, open_lake

NOW = datetime.now(UTC)
PEOPLE = pa.table({"name": ["ada-lovelace", "charles"], "n": [1, 2]})


@pytest.fixture
def lake(tmp_path: Path) -> IcebergLake:
    lake = open_lake(tmp_path / "lake")
    lake.append("raw.n", PEOPLE, key="1")
    return lake


def erase(lake: IcebergLake, name: str = "ada-lovelace", before: datetime = NOW):
    return lake.erase("raw.n", lambda t: t.name == name, orphaned_before=before)


def holding(folder: Path, text: str) -> list[str]:
    """The files with `text` in them: Parquet of short columns keeps it, and so do bounds."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return sorted(path.name for path in files if text.encode() in path.read_bytes())


def test_no_file_holds_an_erased_value(lake: IcebergLake, tmp_path: Path) -> None:
    lake.append("raw.n", PEOPLE.slice(1), key="2")
    lake.stage("raw.n", PEOPLE, branch="b", mode="append", summary={})
    folder = tmp_path / "lake" / "warehouse"
    assert holding(folder, "ada-lovelace")
    done = erase(lake)
    assert holding(folder, "ada-lovelace") == []
    assert done.files > 4
    assert lake.read("raw.n")["name"].to_pylist() == ["charles", "charles"]
    assert not list(folder.rglob("doomed-*"))


def test_rows_that_another_engine_deleted_are_erased_too(lake: IcebergLake, tmp_path: Path) -> None:
    delete_positions(catalogs.load(lake._catalog, "raw.n"), [0])
    assert lake.read("raw.n").num_rows == 1
    done = erase(lake)
    assert done.rows == 0
    assert holding(tmp_path / "lake" / "warehouse", "ada-lovelace") == []
    assert lake.read("raw.n") == PEOPLE.slice(1)


def test_files_in_flight_are_told_and_stale_ones_go(lake: IcebergLake, tmp_path: Path) -> None:
    [file] = (tmp_path / "lake" / "warehouse").rglob("*.parquet")
    orphan, torn = file.with_name("orphan.parquet"), file.with_name("torn.parquet")
    orphan.write_bytes(file.read_bytes())
    torn.write_bytes(file.read_bytes()[:100])
    early = NOW - timedelta(days=1)
    assert erase(lake, before=early).in_flight == 2
    for path in (orphan, torn):
        os.utime(path, (early.timestamp() - 1,) * 2)
    done = erase(lake, before=early)
    assert (done.files, done.in_flight) == (2, 0)
    assert not orphan.exists()
    assert lake.read("raw.n") == PEOPLE.slice(1)


def test_an_orphan_without_such_rows_is_left_alone(lake: IcebergLake, tmp_path: Path) -> None:
    [file] = (tmp_path / "lake" / "warehouse").rglob("*.parquet")
    file.with_name("orphan.parquet").write_bytes(file.read_bytes())
    assert erase(lake, "grace", before=NOW + timedelta(days=1)).files == 0
    assert file.with_name("orphan.parquet").exists()


def test_a_writer_that_comes_between_loses_nothing(
    lake: IcebergLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = open_lake(lake._folder)
    inner = SqlCatalog.commit_table

    def interrupted(self, *arguments):
        if self is lake._catalog and not done:
            done.append(other.append("raw.n", PEOPLE, key="between"))
        return inner(self, *arguments)

    done: list = []
    monkeypatch.setattr(SqlCatalog, "commit_table", interrupted)
    assert erase(lake).rows == 2
    assert lake.read("raw.n")["name"].to_pylist() == ["charles", "charles"]


def test_a_writer_that_never_stops_is_named(
    lake: IcebergLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    rewrite = erasing._rewrite

    def and_again(*arguments):
        try:
            return rewrite(*arguments)
        finally:
            lake.append("raw.n", PEOPLE, key=str(len(lake.history("raw.n"))))

    monkeypatch.setattr(erasing, "_rewrite", and_again)
    monkeypatch.setattr(erasing, "_TURNS", 3)
    with pytest.raises(BusyError, match="keep adding"):
        erase(lake)
