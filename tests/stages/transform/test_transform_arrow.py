"""Transforms of the arrow engine: what a function is given, may return, and how it is blamed."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pytest

import onward as ow
from onward.core.errors import DataError, DeclarationError
from onward.core.records import DatasetRef
from onward.infra.lake.iceberg import IcebergLake, open_lake
from onward.stages.transform.step import build

AT = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def lake(tmp_path: Path) -> IcebergLake:
    return open_lake(tmp_path / "lake")


@pytest.fixture
def inputs(lake: IcebergLake) -> dict[str, DatasetRef]:
    at = pa.array([AT] * 3, pa.timestamp("us", "UTC"))
    lake.append("raw.orders", pa.table({"id": [1, 2, 3], "at": at}), key="k1")
    lake.append("raw.people", pa.table({"id": [2, 3], "name": ["b", "c"]}), key="k1")
    return {"orders": lake.dataset("raw.orders"), "people": lake.dataset("raw.people")}


def built(transform: Any, lake: IcebergLake, inputs: Any, folder: Path) -> pa.Table:
    batch = build(transform, lake=lake, inputs=inputs, folder=folder, run="r1")
    assert batch is not None
    lake.publish(batch.table, batch.branch, expect=batch.base, key=batch.summary["key"])
    found = lake.read(transform.table)
    assert found.num_rows == batch.rows
    return found


def arrow(body: Any) -> Any:
    return ow.transform(engine="arrow")(body)


@arrow
def as_table(orders, people):
    return orders.join(people, "id", join_type="inner")


@arrow
def as_frame(orders):
    return pl.from_arrow(orders).filter(pl.col("id") > 1)


@arrow
def as_batch(people):
    return people.combine_chunks().to_batches()[0]


@arrow
def as_stream(orders: pa.RecordBatchReader, people: pa.RecordBatchReader):
    assert not isinstance(orders, pa.Table)
    for batch in orders:
        yield batch.filter(pc.greater(batch["id"], 1))
    assert sum(batch.num_rows for batch in people) == 2


@arrow
def as_reader(orders: pa.RecordBatchReader):
    return orders


@pytest.mark.parametrize(
    ("transform", "ids"),
    [
        (as_table, [2, 3]), (as_frame, [2, 3]), (as_batch, [2, 3]), (as_stream, [2, 3]),
        (as_reader, [1, 2, 3]),
    ],
)  # fmt: skip
def test_whatever_is_arrow_becomes_a_table(
    lake: IcebergLake, inputs: Any, tmp_path: Path, transform: Any, ids: list[int]
) -> None:
    assert sorted(built(transform, lake, inputs, tmp_path)["id"].to_pylist()) == ids


def test_columns_come_in_types_that_are_stored(
    lake: IcebergLake, inputs: Any, tmp_path: Path
) -> None:
    @arrow
    def typed(orders):
        return pa.table(
            {
                "small": pa.array([1], pa.int8()),
                "money": pa.array([Decimal("1.25")]),
                "naive": pa.array([AT.replace(tzinfo=None)], pa.timestamp("ns")),
                "word": pa.array(["x"]).dictionary_encode(),
                "nothing": pa.nulls(1),
            }
        )

    found = built(typed, lake, inputs, tmp_path)
    assert found.schema.types == [
        pa.int64(), pa.float64(), pa.timestamp("us", "UTC"), pa.string(), pa.string(),
    ]  # fmt: skip
    assert found.to_pylist() == [
        {"small": 1, "money": 1.25, "naive": AT, "word": "x", "nothing": None}
    ]


@arrow
def raising(orders):
    return orders.column("idd")


@arrow
def returning(orders):
    return "text"


@arrow
def yielding_tables(orders):
    yield orders


@arrow
def yielding_nothing(orders):
    yield from ()


@arrow
def span(orders):
    return pa.table({"d": pa.array([1], pa.duration("s"))})


@pytest.mark.parametrize(
    ("transform", "message"),
    [
        (raising, "'raising' raised KeyError: .*orders: id, at"),
        (returning, "gives no Arrow table: it returns str"),
        (yielding_tables, "the first thing that it yields is Table"),
        (yielding_nothing, "the first thing that it yields is nothing"),
        (span, "column 'd' .*is an interval"),
    ],
)
def test_what_is_no_table_is_refused(
    lake: IcebergLake, inputs: Any, tmp_path: Path, transform: Any, message: str
) -> None:
    with pytest.raises(DeclarationError, match=f"(?s){message}") as no:
        build(transform, lake=lake, inputs=inputs, folder=tmp_path, run="r1")
    assert no.value.location is not None
    assert no.value.location.file == __file__
    assert transform.table not in lake.tables()


@arrow
def failing_late(orders: pa.RecordBatchReader):
    yield from orders
    raise ZeroDivisionError("no more")


@arrow
def too_large(orders):
    return pa.table({"n": pa.array([2**63], pa.uint64())})


@pytest.mark.parametrize(
    ("transform", "message"),
    [
        (failing_late, "'failing_late' raised ZeroDivisionError: no more"),
        (too_large, "a value that no table stores"),
    ],
)
def test_what_fails_on_a_row_publishes_nothing(
    lake: IcebergLake, inputs: Any, tmp_path: Path, transform: Any, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        build(transform, lake=lake, inputs=inputs, folder=tmp_path, run="r1")
    assert transform.table not in lake.tables()


def test_an_unknown_engine_and_wrong_tags_are_refused() -> None:
    with pytest.raises(DeclarationError, match=r"(?s)no engine 'arow'.*did you mean 'arrow'"):
        ow.transform(engine="arow")(lambda orders: orders)
    with pytest.raises(DeclarationError, match="the tags are 'daily'"):
        ow.sql_transform("t", "t.sql", tags="daily")
