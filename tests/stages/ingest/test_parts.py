"""Where a quarantined row came from: its file, and its number there."""

from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from ibis import _

import onward as ow
from onward.core.clock import ReplayClock
from onward.core.records import ROW, Part
from onward.infra.lake import commit
from onward.infra.lake.iceberg import IcebergLake, open_lake
from onward.stages.ingest.adapters.files import FileReader
from onward.stages.ingest.parts import Parted
from onward.stages.ingest.port import Surroundings
from onward.stages.ingest.step import ingest
from onward.stages.validate.step import audit

CLOCK = ReplayClock(datetime(2024, 5, 1, tzinfo=UTC))
POSITIVE = ow.check("x is positive", _.x > 0)


def taken_in(folder: Path, lake: IcebergLake, pattern: str, run: str = "r1") -> list[tuple]:
    """Ingest and audit; return what is in quarantine as (id, source)."""
    source = ow.Source("t", ow.files(pattern), key="id", event_time="at", types={"x": "double"})
    reader = FileReader(Surroundings(folder=folder))
    batch = ingest(source, reader=reader, lake=lake, run=run)
    assert sum(part.rows for part in batch.parts) == batch.rows
    audit(batch, (POSITIVE, ow.unique("id", published=False)), lake=lake, clock=CLOCK)
    assert ROW not in lake.read("raw.t").column_names
    kept = lake.read("quarantine.raw_t").to_pylist()
    return sorted((row["id"], row["_source"]) for row in kept if row["_run"] == run)


@pytest.fixture
def lake(tmp_path: Path) -> IcebergLake:
    return open_lake(tmp_path / "lake")


def write(folder: Path, name: str, query: str) -> None:
    form = {"csv": "HEADER", "jsonl": "FORMAT json", "parquet": "FORMAT parquet"}
    (folder / "in").mkdir(exist_ok=True)
    ending = name.partition(".")[2]
    duckdb.execute(f"COPY ({query}) TO '{folder}/in/{name}' ({form[ending]})")


ROWS = "SELECT {first} + i AS id, '2024-01-01T00:00:00Z' AS \"at\", {x} AS x FROM range({n}) r(i)"


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_an_offender_is_known_by_its_file_and_row(
    tmp_path: Path, lake: IcebergLake, ending: str
) -> None:
    for first, name in ((10, "a"), (20, "b"), (30, "c")):
        odd = ROWS.format(first=first, n=5, x=f"CASE i WHEN {first // 10} THEN -1.0 ELSE 2.5 END")
        # The middle file has its columns in another order, and its rows are read all the same.
        query = f'SELECT x, "at", id FROM ({odd})' if name == "b" else odd
        write(tmp_path, f"{name}.{ending}", query)
    assert taken_in(tmp_path, lake, f"in/*.{ending}") == [
        (11, f"in/a.{ending}:2"),
        (22, f"in/b.{ending}:3"),
        (33, f"in/c.{ending}:4"),
    ]
    write(tmp_path, f"d.{ending}", ROWS.format(first=40, n=3, x="CASE i WHEN 2 THEN 0 ELSE 1 END"))
    again = taken_in(tmp_path, lake, f"in/*.{ending}", run="r2")
    assert again == [(42, f"in/d.{ending}:3")]


def test_rows_are_counted_over_many_files_of_the_lake(
    tmp_path: Path, lake: IcebergLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commit, "_FILE_BYTES", 1)
    n = 150_000
    write(tmp_path, "a.csv", ROWS.format(first=0, n=n, x="CASE i WHEN 149999 THEN -1 ELSE 1 END"))
    write(tmp_path, "b.csv", ROWS.format(first=n, n=n, x="CASE i WHEN 130000 THEN -1 ELSE 1 END"))
    assert taken_in(tmp_path, lake, "in/*.csv") == [
        (149_999, "in/a.csv:150000"),
        (280_000, "in/b.csv:130001"),
    ]


def test_a_unique_row_keeps_its_place(tmp_path: Path, lake: IcebergLake) -> None:
    write(tmp_path, "a.csv", ROWS.format(first=1, n=4, x="1.5"))
    write(tmp_path, "b.csv", ROWS.format(first=4, n=2, x="1.5"))
    assert taken_in(tmp_path, lake, "in/*.csv") == [(4, "in/a.csv:4"), (4, "in/b.csv:1")]


def test_a_batch_says_its_parts(tmp_path: Path, lake: IcebergLake) -> None:
    write(tmp_path, "a.csv", ROWS.format(first=1, n=4, x="1.5"))
    write(tmp_path, "b.csv", ROWS.format(first=9, n=2, x="1.5"))
    source = ow.Source("t", ow.files("in/*.csv"), key="id", event_time="at")
    batch = ingest(source, reader=FileReader(Surroundings(folder=tmp_path)), lake=lake, run="r")
    assert batch.parts == (Part(name="in/a.csv", rows=4), Part(name="in/b.csv", rows=2))


def test_rows_that_came_mixed_have_no_place(tmp_path: Path) -> None:
    column = pa.table({"id": [1, 2, 3], "_part": ["a", "b", "a"]})
    parted = Parted(column.to_reader(), "_part", {})
    assert parted.reader().read_all().column_names == ["id"]
    assert parted.parts() == ()
