"""Rows are taken in by one pass, and by another where a late value refutes what the first say."""

from pathlib import Path

import pyarrow as pa
import pytest

import onward as ow
from onward.core.clock import SystemClock
from onward.infra.lake import commit
from onward.infra.lake.iceberg import IcebergLake, open_lake
from onward.stages.ingest import looks, taking
from onward.stages.ingest.adapters.files import FileReader
from onward.stages.ingest.port import Surroundings
from onward.stages.ingest.step import ingest
from onward.stages.validate.step import audit

LATE = 130_000
"""A row beyond those that are read, and written, at once."""


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> IcebergLake:
    monkeypatch.setattr(commit, "_FILE_BYTES", 1)  # a file for each of the stream's batches
    return open_lake(tmp_path / "lake")


def put(folder: Path, name: str, *late: str, x: str = "5", rows: int = LATE) -> None:
    """Write a file whose column x is `x` in all rows but the last."""
    (folder / "in").mkdir(exist_ok=True)
    lines = [f"{i},2024-01-01,{x}" for i in range(rows)]
    lines += [f"{rows + i},2024-01-01,{last}" for i, last in enumerate(late)]
    (folder / "in" / name).write_text("\n".join(["id,at,x", *lines, ""]))


def take(lake: IcebergLake, folder: Path, run: str, **changes: object) -> pa.Table:
    """Ingest, and return the batch's rows; publish those that can be."""
    source = ow.Source("t", ow.files("in/*.csv"), key="id", event_time="at", **changes)
    batch = ingest(source, reader=FileReader(Surroundings(folder=folder)), lake=lake, run=run)
    assert batch is not None
    with lake.open({"batch": batch}) as connection:
        rows = connection.table("batch").to_pyarrow()
    assert len(rows) == batch.rows == sum(part.rows for part in batch.parts)
    audit(batch, (), lake=lake, clock=SystemClock())
    return rows


def written(folder: Path) -> int:
    return len(list((folder / "lake").rglob("*.parquet")))


def test_what_all_rows_bear_out_is_read_once(
    lake: IcebergLake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(taking, "carefully", None)
    put(tmp_path, "a.csv", "NA", rows=20_000)
    rows = take(lake, tmp_path, "r1")
    assert rows.schema.field("x").type == pa.int64()
    assert rows["x"].to_pylist() == [5] * 20_000 + [None]
    put(tmp_path, "b.csv", "7.0", " 8")
    assert take(lake, tmp_path, "r2")["x"].to_pylist()[-3:] == [5, 7, 8]


@pytest.mark.parametrize(
    ("usual", "late", "kind"),
    [
        ("5", "5.5", pa.float64()),
        ("5", "five", pa.string()),
        ("5.5", "07.5", pa.string()),
        ("2024-01-01", "2024-01-01T10:00:00", pa.timestamp("us", "UTC")),
        ("", "5", pa.int64()),
    ],
)
def test_a_late_value_settles_the_type_of_the_first_rows(
    lake: IcebergLake, tmp_path: Path, usual: str, late: str, kind: pa.DataType
) -> None:
    put(tmp_path, "a.csv", late, x=usual)
    rows = take(lake, tmp_path, "r1")
    assert rows.schema.field("x").type == kind
    assert "_unreadable" not in rows.column_names
    assert lake.schema("raw.t").field("x").type == kind
    assert written(tmp_path) == 2  # what the first pass wrote is gone


def test_times_are_what_some_value_can_be_read_as(lake: IcebergLake, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    lines = [f"{i},2024" for i in range(looks._SAMPLE)]  # looks like a number so far
    (tmp_path / "in/a.csv").write_text("\n".join(["id,at", *lines, "x,2024-05-01T10:00:00Z", ""]))
    rows = take(lake, tmp_path, "r1")
    assert rows.schema.field("at").type == pa.timestamp("us", "UTC")
    assert rows.schema.field("id").type == pa.string()
    assert rows["_unreadable"].to_pylist() == ["at=2024"] * looks._SAMPLE + [None]


def test_a_late_value_that_cannot_be_read_is_kept(lake: IcebergLake, tmp_path: Path) -> None:
    put(tmp_path, "a.csv", "6", rows=2)
    take(lake, tmp_path, "r1")
    put(tmp_path, "b.csv", "six", "7")
    rows = take(lake, tmp_path, "r2").slice(LATE - 1).to_pylist()
    assert [(row["x"], row["_unreadable"]) for row in rows] == [
        (5, None),
        (None, "x=six"),
        (7, None),
    ]
    quarantined = lake.read("quarantine.raw_t").to_pylist()
    assert [row["_source"] for row in quarantined] == [f"in/b.csv:{LATE + 1}"]


def test_a_new_column_is_settled_by_all_rows(lake: IcebergLake, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.csv").write_text("id,at\n-1,2024-01-01\n")
    take(lake, tmp_path, "r1", on_schema_change="evolve")
    put(tmp_path, "b.csv", "late")
    rows = take(lake, tmp_path, "r2", on_schema_change="evolve")
    assert rows.schema.field("x").type == pa.string()
    assert rows["x"].to_pylist()[-2:] == ["5", "late"]
