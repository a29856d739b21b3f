"""What every lake must do when rows that were staged are staged, or appended, again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal

import pyarrow as pa
import pytest

from onward.core.errors import DataError
from onward.core.ports import Lake, Snapshot, Staged
from onward.core.records import Batch, DatasetRef, Evolution, Mode, Partitions

LETTERS = "abcdefghij"
ROWS = pa.table({"id": list(range(10)), "name": list(LETTERS)})


def stage(lake: Lake, rows: pa.Table | Staged, mode: Mode = "append", **changes) -> Snapshot:
    given = {"branch": "audit", "summary": {"key": "k"}} | changes
    return lake.stage("raw.n", rows, mode=mode, **given)


def batch(staged: Snapshot, mode: Mode = "append") -> Batch:
    return Batch(
        dataset="n", table=staged.table, branch="audit", run="r", mode=mode, rows=staged.rows,
        base=None, snapshot=staged.id,
    )  # fmt: skip


def without(staged: Snapshot, *numbers: int, columns: Sequence[str] | None = None) -> Staged:
    return Staged(batch=batch(staged), columns=columns, without=pa.array(numbers, pa.int64()))


def published(lake: Lake) -> pa.Table:
    base = lake.head("raw.n", "audit")
    assert base is not None
    lake.publish("raw.n", "audit", expect=base.parent)
    return lake.read("raw.n")


@pytest.mark.parametrize("gone", [(), (1,), (10,), (3, 4, 8), tuple(range(1, 11))])
def test_rows_are_left_out_by_their_number_and_the_rest_keep_their_order(
    lake: Lake, gone: tuple[int, ...]
) -> None:
    stage(lake, without(stage(lake, ROWS), *gone))
    assert published(lake).to_pydict() == {
        "id": [i for i in range(10) if i + 1 not in gone],
        "name": [c for i, c in enumerate(LETTERS) if i + 1 not in gone],
    }


def test_the_numbers_are_those_that_open_gives(lake: Lake) -> None:
    staged = stage(lake, ROWS)
    with lake.open({"batch": batch(staged)}, numbered="batch") as connection:
        found = connection.table("batch").filter(lambda t: t.name == "c")
        [number] = found.to_pyarrow()["_row"].to_pylist()
    stage(lake, without(staged, number))
    assert "".join(published(lake)["name"].to_pylist()) == "abdefghij"


def test_columns_may_be_left_out(lake: Lake) -> None:
    stage(lake, without(stage(lake, ROWS), 1, columns=["name"]))
    assert published(lake).to_pydict() == {"name": list("bcdefghij")}


def test_every_kind_of_value_stays_as_it_is(lake: Lake) -> None:
    kinds = {
        "flag": [True, None],
        "whole": pa.array([1, None], pa.int32()),
        "long": [2**40, None],
        "single": pa.array([0.5, float("nan")], pa.float32()),
        "double": [float("-inf"), float("nan")],
        "cents": pa.array([Decimal("1.25"), None], pa.decimal128(9, 2)),
        "wide": pa.array([Decimal("9" * 30 + ".5"), None], pa.decimal128(38, 1)),
        "text": ['it\'s\n"so"', None],
        "bytes": [b"\x00\xff", None],
        "day": [date(1960, 2, 29), None],
        "hour": [time(23, 59, 59, 1), None],
        "at": pa.array([datetime(1960, 1, 1, 0, 0, 0, 1, UTC), None], pa.timestamp("us", "UTC")),
        "some": [[1, None], None],
        "whole of it": [{"a": 1, "b": [{"c": "x"}]}, None],
        "by name": pa.array([[("k", 1)], None], pa.map_(pa.string(), pa.int64())),
        "nothing": pa.array([None, None], pa.string()),
    }
    rows = pa.table({**kinds, "it's 1 of a kind": [1, 2]})
    stage(lake, without(stage(lake, pa.concat_tables([rows, rows])), 1, 2))
    found = published(lake)
    assert found.schema == rows.schema
    assert str(found.to_pylist()) == str(rows.to_pylist())  # as text, where NaN equals itself


def test_they_join_rows_of_other_columns(lake: Lake) -> None:
    lake.append("raw.n", pa.table({"id": [-1]}), key="first")
    stage(lake, without(stage(lake, ROWS), 2))
    assert published(lake)["name"].to_pylist() == ["a", *"cdefghij", None]
    with pytest.raises(DataError, match="missing from these rows"):
        stage(lake, without(stage(lake, ROWS), columns=["name"]))


def test_they_may_change_the_columns_of_all_rows(lake: Lake) -> None:
    lake.append("raw.n", ROWS, key="first")
    better = Evolution(renamed={"letter": "name"}, retyped=("id",))
    new = pa.table({"id": ["x", "y"], "letter": ["a", "b"]})
    staged = stage(lake, new, evolution=better)
    stage(lake, without(staged, 1), evolution=better)
    found = published(lake).sort_by("id")
    assert found["id"].to_pylist() == [*"0123456789", "y"]
    assert found["letter"].to_pylist() == [*LETTERS, "b"]


def test_they_merge_by_key_and_by_partition(lake: Lake) -> None:
    lake.append("raw.n", ROWS, key="first")
    new = pa.table({"id": [0, 1, 11], "name": ["A", "B", "L"]})
    staged = stage(lake, new)
    stage(lake, without(staged, 2), mode="upsert", key=["id"])
    assert sorted(published(lake)["name"].to_pylist()) == sorted([*"Abcdefghij", "L"])

    other = pa.table({"id": [5, 6], "name": ["A", "L"]})
    replaced = Partitions(column="name", values=("A", "L"))
    staged = stage(lake, other)
    left = without(staged, 1)
    stage(lake, left, mode="partitions", partitions=replaced, summary={"key": "k2"})
    assert sorted(published(lake)["name"].to_pylist()) == sorted([*"bcdefghij", "L"])


def test_they_may_take_the_place_of_all_rows(lake: Lake) -> None:
    lake.append("raw.n", pa.table({"old": [1.5]}), key="first")
    staged = stage(lake, ROWS, mode="replace")
    stage(lake, without(staged, 1, 2), mode="replace")
    assert published(lake)["id"].to_pylist() == list(range(2, 10))


def test_they_are_appended_once(lake: Lake) -> None:
    staged = stage(lake, ROWS)
    for _ in range(2):
        snapshot = lake.append("raw.n", Staged(batch=batch(staged)), key="k")
        assert snapshot is not None
        assert snapshot.rows == 10
    lake.drop_branch("raw.n", "audit")
    assert lake.read("raw.n").equals(ROWS)
    with lake.open({"n": DatasetRef(table="raw.n", snapshot=snapshot.id, rows=10)}) as connection:
        assert connection.table("n").to_pyarrow().equals(ROWS)


def test_rows_of_another_table_are_copied(lake: Lake) -> None:
    staged = stage(lake, ROWS)
    lake.append("raw.other", pa.table({"id": [-1], "name": ["z"]}), key="first")
    lake.append("raw.other", without(staged, 1), key="k")
    lake.drop_branch("raw.n", "audit")
    assert sorted(lake.read("raw.other")["name"].to_pylist()) == sorted("bcdefghijz")
    lake.append("raw.new", without(staged, 1), key="k")
    assert sorted(lake.read("raw.new")["name"].to_pylist()) == sorted("bcdefghij")
