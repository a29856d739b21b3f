"""Which Arrow types a table stores, and what fits a table that has columns already."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest

from onward.core.errors import DataError
from onward.infra.lake.columns import fitted, of_iceberg, stored, to_iceberg
from onward.infra.lake.iceberg import open_lake

NOON = datetime(2013, 1, 1, 12)  # noqa: DTZ001 (naive on purpose)

STORED = [
    (pa.array([1], pa.int8()), pa.int32(), 1),
    (pa.array([1], pa.uint16()), pa.int32(), 1),
    (pa.array([2**31], pa.uint32()), pa.int64(), 2**31),
    (pa.array([1], pa.uint64()), pa.int64(), 1),
    (pa.array([1.5], pa.float64()).cast(pa.float16()), pa.float32(), 1.5),
    (pa.array([1.5], pa.float64()), pa.float64(), 1.5),
    (pa.array([True]), pa.bool_(), True),
    (pa.array(["x"], pa.large_string()), pa.string(), "x"),
    (pa.array(["x"], pa.string_view()), pa.string(), "x"),
    (pa.array(["x"]).dictionary_encode(), pa.string(), "x"),
    (pa.array([None], pa.null()), pa.string(), None),
    (pa.array([b"x"], pa.large_binary()), pa.binary(), b"x"),
    (pa.array([date(2013, 1, 1)], pa.date64()), pa.date32(), date(2013, 1, 1)),
    (pa.array([time(1, 2)], pa.time32("s")), pa.time64("us"), time(1, 2)),
    (pa.array([Decimal("1.50")], pa.decimal128(9, 2)), pa.decimal128(9, 2), Decimal("1.50")),
    (pa.array([[1]], pa.large_list(pa.int8())), pa.list_(pa.int32()), [1]),
    (pa.array([[1, 2]], pa.list_(pa.int64(), 2)), pa.list_(pa.int64()), [1, 2]),
    (
        pa.array([{"a": 1}], pa.struct({"a": pa.int16()})),
        pa.struct({"a": pa.int32()}),
        {"a": 1},
    ),
    (
        pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int16())),
        pa.map_(pa.string(), pa.int32()),
        [("k", 1)],
    ),
]


def test_every_storable_type_comes_back(tmp_path: Path) -> None:
    arrays = {f"c{n}": array for n, (array, _, _) in enumerate(STORED)}
    lake = open_lake(tmp_path)
    lake.append("raw.all", pa.table(arrays), key="1")
    found = lake.read("raw.all")
    assert found.schema.types == [kind for _, kind, _ in STORED]
    assert [column[0].as_py() for column in found.columns] == [value for _, _, value in STORED]
    assert lake.schema("raw.all") == found.schema
    assert of_iceberg(to_iceberg(found.schema)) == found.schema
    with lake.open({"all": lake.dataset("raw.all")}) as connection:
        assert connection.table("all").to_pyarrow().to_pylist() == found.to_pylist()


def test_nothing_is_required() -> None:
    schema = pa.schema([pa.field("id", pa.int64(), nullable=False)])
    assert stored(schema, "t").field("id").nullable


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        (pa.schema([]), "(none)"),
        (pa.schema([("", pa.int64())]), "''"),
        (pa.schema([("a", pa.int64()), ("a", pa.int64())]), "'a', 'a'"),
        (pa.schema([("a", pa.duration("s"))]), "duration[s]"),
        (pa.schema([("a", pa.list_(pa.month_day_nano_interval()))]), "'a'"),
    ],
)
def test_what_cannot_be_stored_is_refused(schema: pa.Schema, words: str) -> None:
    with pytest.raises(DataError) as caught:
        stored(schema, "raw.flights")
    assert words in caught.value.what
    assert "raw.flights" in caught.value.what


@pytest.mark.parametrize(
    ("incoming", "published"),
    [
        (pa.int16(), pa.int64()),
        (pa.int64(), pa.float64()),
        (pa.float32(), pa.float64()),
        (pa.null(), pa.timestamp("us", "UTC")),
        (pa.timestamp("ns"), pa.timestamp("us", "UTC")),
        (pa.large_string(), pa.string()),
        (pa.decimal128(5, 2), pa.decimal128(9, 2)),
    ],
)
def test_a_narrower_type_fits(incoming: pa.DataType, published: pa.DataType) -> None:
    table = pa.schema([("a", published)])
    assert fitted(pa.schema([("a", incoming)]), table, "t") == table


@pytest.mark.parametrize(
    ("incoming", "published"),
    [
        (pa.int64(), pa.int32()),
        (pa.float64(), pa.int64()),
        (pa.string(), pa.int64()),
        (pa.int64(), pa.string()),
        (pa.decimal128(9, 3), pa.decimal128(9, 2)),
        (pa.decimal128(11, 2), pa.decimal128(9, 2)),
    ],
)
def test_another_type_does_not(incoming: pa.DataType, published: pa.DataType) -> None:
    with pytest.raises(DataError, match="~ a"):
        fitted(pa.schema([("a", incoming)]), pa.schema([("a", published)]), "t")


def test_an_integer_that_a_double_cannot_hold_is_refused(tmp_path: Path) -> None:
    lake = open_lake(tmp_path)
    lake.append("raw.n", pa.table({"a": [0.5]}), key="1")
    lake.append("raw.n", pa.table({"a": [2]}), key="2")
    with pytest.raises(DataError, match="'a'"):
        lake.append("raw.n", pa.table({"a": [2**53 + 1]}), key="3")
    assert lake.read("raw.n")["a"].to_pylist() in ([0.5, 2.0], [2.0, 0.5])


def test_nanoseconds_are_cut_to_microseconds(tmp_path: Path) -> None:
    lake = open_lake(tmp_path)
    fine = pa.array([NOON], pa.timestamp("us")).cast(pa.timestamp("ns")).cast(pa.int64())
    times = pa.array([fine[0].as_py() + 1_999], pa.int64()).cast(pa.timestamp("ns"))
    lake.append("raw.t", pa.table({"at": times}), key="1")
    (found,) = lake.read("raw.t")["at"].to_pylist()
    assert found.replace(tzinfo=None) == NOON + timedelta(microseconds=1)


def test_columns_of_rows_that_never_came_are_forgotten(tmp_path: Path) -> None:
    def broken() -> Iterator[pa.RecordBatch]:
        yield from pa.table({"x": [1]}).to_batches()
        raise FileNotFoundError("rows.csv")

    lake = open_lake(tmp_path / "lake")
    rows = pa.RecordBatchReader.from_batches(pa.schema({"x": pa.int64()}), broken())
    with pytest.raises(FileNotFoundError, match=r"rows\.csv"):
        lake.stage("raw.n", rows, branch="b", mode="append", summary={})
    texts = pa.table({"id": [1], "x": ["one"]})
    lake.stage("raw.n", texts, branch="b", mode="append", summary={})
    lake.publish("raw.n", "b", expect=None)
    assert lake.read("raw.n") == texts
    assert len(json.loads(lake.metadata("raw.n"))["schemas"]) == 1
    with lake.open({"n": lake.dataset("raw.n")}) as connection:
        (read,) = connection.con.execute(
            "SELECT sql FROM duckdb_views() WHERE view_name = 'n'"
        ).fetchone()
        assert "schema" not in read  # by names, which lets DuckDB push down what a join tells it
        assert connection.table("n").to_pyarrow().to_pylist() == texts.to_pylist()
