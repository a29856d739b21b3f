"""What every lake must do with rows that take the place of whole partitions."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from onward.core.errors import DataError, DivergedError
from onward.core.ports import Lake, Snapshot
from onward.core.records import DatasetRef, Partitions
from onward.infra.lake.iceberg import open_lake

Row = tuple[date | None, int]
ONE, TWO, THREE = date(2026, 1, 1), date(2026, 1, 2), date(2026, 1, 3)


def table(*rows: Row) -> pa.Table:
    schema = pa.schema([("day", pa.date32()), ("n", pa.int64())])
    return pa.Table.from_pylist([{"day": d, "n": n} for d, n in rows], schema)


def replace(lake: Lake, values: tuple[Any, ...], *rows: Row) -> Snapshot:
    head = lake.head("derived.daily")
    lake.stage(
        "derived.daily", table(*rows), branch="b", mode="partitions", summary={},
        partitions=Partitions(column="day", values=values),
    )  # fmt: skip
    return lake.publish("derived.daily", "b", expect=head and head.id)


def stored(lake: Lake, snapshot: int | None = None) -> list[Any]:
    rows = lake.read("derived.daily", snapshot=snapshot).to_pylist()
    return sorted((tuple(row.values()) for row in rows), key=repr)


def test_only_the_named_partitions_are_replaced(lake: Lake) -> None:
    first = replace(lake, (ONE, TWO), (ONE, 1), (ONE, 2), (TWO, 3))
    second = replace(lake, (TWO, THREE), (TWO, 4), (TWO, 5), (THREE, 6))
    assert stored(lake) == [(ONE, 1), (ONE, 2), (TWO, 4), (TWO, 5), (THREE, 6)]
    assert stored(lake, first.id) == [(ONE, 1), (ONE, 2), (TWO, 3)]
    assert (second.rows, second.parent) == (5, first.id)


def test_a_partition_may_become_empty_and_null_is_one(lake: Lake) -> None:
    replace(lake, (ONE, None), (ONE, 1), (None, 2), (None, 3))
    replace(lake, (ONE,))
    assert stored(lake) == [(None, 2), (None, 3)]
    replace(lake, (None,), (None, 4))
    assert stored(lake) == [(None, 4)]


def test_what_only_came_to_it_counts_as_added(lake: Lake) -> None:
    first = replace(lake, (ONE,), (ONE, 1))
    second = replace(lake, (TWO,), (TWO, 2))
    third = replace(lake, (ONE,), (ONE, 3))
    delta = lake.added("derived.daily", after=first.id, upto=second.id)
    assert delta is not None
    assert delta.rows == 1
    assert lake.added("derived.daily", after=second.id, upto=third.id) is None


def test_a_writer_that_comes_between_is_noticed(lake: Lake) -> None:
    first = replace(lake, (ONE,), (ONE, 1))
    lake.stage(
        "derived.daily", table((ONE, 2)), branch="b", mode="partitions", summary={},
        partitions=Partitions(column="day", values=(ONE,)),
    )  # fmt: skip
    lake.append("derived.daily", table((ONE, 9)), key="k")
    with pytest.raises(DivergedError):
        lake.publish("derived.daily", "b", expect=first.id)
    assert stored(lake) == [(ONE, 1), (ONE, 9)]


def test_they_are_named_and_the_columns_stay(lake: Lake) -> None:
    with pytest.raises(ValueError, match="by name"):
        lake.stage("derived.daily", table(), branch="b", mode="partitions", summary={})
    replace(lake, (ONE,), (ONE, 1))
    with pytest.raises(DataError):
        lake.stage(
            "derived.daily", pa.table({"day": ["x"], "n": [1]}), branch="b", mode="partitions",
            summary={}, partitions=Partitions(column="day", values=("x",)),
        )  # fmt: skip


days = st.sampled_from([None, ONE, TWO, THREE])
steps = st.tuples(st.sets(days, min_size=1), st.lists(st.tuples(days, st.integers(0, 9))))


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(steps, min_size=1, max_size=4))
def test_it_is_what_a_table_in_memory_would_be(made: list[Any]) -> None:
    with TemporaryDirectory() as folder:
        lake = open_lake(Path(folder))
        model: list[Row] = []
        for touched, rows in made:
            kept = [row for row in rows if row[0] in touched]
            replace(lake, tuple(touched), *kept)
            model = [row for row in model if row[0] not in touched] + kept
            assert stored(lake) == sorted(model, key=repr)
        dataset = lake.dataset("derived.daily")
        assert isinstance(dataset, DatasetRef)
        assert dataset.rows == len(model)
