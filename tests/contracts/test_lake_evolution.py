"""What every lake must do when the columns of a table change."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pyarrow as pa
import pytest

from onward.core.errors import DataError
from onward.core.ports import Lake, Snapshot
from onward.core.records import Batch, DatasetRef, Evolution

FIRST = pa.table({"id": [1, 2], "price": [10, 20], "name": ["a", "b"]})
WIDER = Evolution(retyped=("price",))
BETTER = Evolution(renamed={"title": "name"})


def rows(table: pa.Table) -> list[tuple]:
    return sorted((tuple(row.values()) for row in table.to_pylist()), key=repr)


def seen(lake: Lake, data: DatasetRef | Batch) -> pa.Table:
    with lake.open({"data": data}) as connection:
        return connection.table("data").to_pyarrow()


@pytest.fixture
def base(lake: Lake) -> Snapshot:
    return lake.append("raw.n", FIRST, key="1", state={"cursor": "1"})


def stage(lake: Lake, table: pa.Table, evolution: Evolution, **changes: object) -> Snapshot:
    given = {"branch": "b", "mode": "append", "summary": {"key": "k"}} | changes
    return lake.stage("raw.n", table, evolution=evolution, **given)


def batch(staged: Snapshot, base: Snapshot) -> Batch:
    return Batch(
        dataset="n", table="raw.n", branch="b", run="r", mode="append", rows=1,
        base=base.id, snapshot=staged.id,
    )  # fmt: skip


def test_a_renamed_column_keeps_its_values(lake: Lake, base: Snapshot) -> None:
    new = pa.table({"id": [3], "price": [30], "title": ["c"]})
    staged = stage(lake, new, BETTER)
    assert lake.schema("raw.n").names == ["id", "price", "name"]
    assert rows(seen(lake, batch(staged, base))) == [(3, 30, "c")]
    published = lake.publish("raw.n", "b", expect=base.id)
    assert lake.schema("raw.n").names == ["id", "price", "title"]
    assert rows(lake.read("raw.n")) == [(1, 10, "a"), (2, 20, "b"), (3, 30, "c")]
    assert rows(seen(lake, lake.dataset("raw.n"))) == rows(lake.read("raw.n"))
    assert lake.read("raw.n", snapshot=base.id) == FIRST
    assert seen(lake, DatasetRef(table="raw.n", snapshot=base.id, rows=2)).column_names[2] == "name"
    assert lake.added("raw.n", after=base.id, upto=published.id).rows == 1
    again = lake.append("raw.n", new, key="again", evolution=BETTER)
    assert again.rows == 4


def test_a_column_takes_another_type_with_all_that_is_stored(lake: Lake, base: Snapshot) -> None:
    new = pa.table({"id": [3], "price": [2.5], "name": ["c"]})
    staged = stage(lake, new, WIDER)
    assert lake.schema("raw.n").field("price").type == pa.int64()
    assert rows(seen(lake, batch(staged, base))) == [(3, 2.5, "c")]
    assert (staged.rows, staged.state) == (3, {"cursor": "1"})
    lake.publish("raw.n", "b", expect=base.id)
    assert lake.schema("raw.n").field("price").type == pa.float64()
    assert rows(lake.read("raw.n")) == [(1, 10.0, "a"), (2, 20.0, "b"), (3, 2.5, "c")]
    assert rows(seen(lake, lake.dataset("raw.n"))) == rows(lake.read("raw.n"))
    assert lake.read("raw.n", snapshot=base.id) == FIRST
    assert lake.added("raw.n", after=base.id, upto=staged.id) is None
    lake.append("raw.n", new, key="2")
    assert lake.compact("raw.n", every=1).rows == 4


@pytest.mark.parametrize(
    ("before", "after", "shown"),
    [
        (pa.array([7, None]), pa.array(["x"]), [None, "7", "x"]),
        (pa.array([date(2024, 1, 2)]), pa.array([datetime(2024, 1, 3, 4, tzinfo=UTC)]),
         [datetime(2024, 1, 2, tzinfo=UTC), datetime(2024, 1, 3, 4, tzinfo=UTC)]),
        (pa.array([7], pa.int32()), pa.array([2**40]), [7, 2**40]),
        (pa.array([0.5], pa.float32()), pa.array([1e300]), [0.5, 1e300]),
        (pa.array([True]), pa.array(["yes"]), ["true", "yes"]),
    ],
    ids=["text", "time", "wide integer", "wide float", "boolean"],
)  # fmt: skip
def test_every_widening_keeps_what_was_stored(
    lake: Lake, before: pa.Array, after: pa.Array, shown: list
) -> None:
    lake.append("raw.n", pa.table({"a": before}), key="1")
    lake.append("raw.n", pa.table({"a": after}), key="2", evolution=Evolution(retyped=("a",)))
    found = lake.read("raw.n")["a"].to_pylist()
    assert sorted(found, key=lambda v: (v is not None, v)) == shown
    assert sorted(seen(lake, lake.dataset("raw.n"))["a"].to_pylist(), key=str) == sorted(
        shown, key=str
    )


def test_a_number_that_a_double_would_change_is_refused(lake: Lake) -> None:
    lake.append("raw.n", pa.table({"a": [2**53 + 1]}), key="1")
    with pytest.raises(DataError, match=str(2**53 + 1)):
        lake.append("raw.n", pa.table({"a": [0.5]}), key="2", evolution=Evolution(retyped=("a",)))
    assert lake.schema("raw.n").field("a").type == pa.int64()


def test_an_upsert_meets_rows_under_the_new_names_and_types(lake: Lake, base: Snapshot) -> None:
    new = pa.table({"id": [2], "price": [2.5], "title": ["B"]})
    both = Evolution(renamed={"title": "name"}, retyped=("price",))
    stage(lake, new, both, mode="upsert", key=["id"])
    lake.publish("raw.n", "b", expect=base.id)
    assert rows(lake.read("raw.n")) == [(1, 10.0, "a"), (2, 2.5, "B")]


def test_a_column_that_does_not_come_is_still_refused(lake: Lake, base: Snapshot) -> None:
    with pytest.raises(DataError, match="- title"):
        stage(lake, FIRST.select(["id", "price"]), BETTER)
    with pytest.raises(DataError, match="~ price"):
        stage(lake, FIRST.set_column(1, "price", pa.array(["x", "y"])), Evolution())
    assert lake.head("raw.n") == base


def test_a_first_commit_has_nothing_to_change(lake: Lake) -> None:
    lake.append(
        "raw.n", FIRST, key="1", evolution=Evolution(renamed={"title": "x"}, retyped=("price",))
    )
    assert lake.read("raw.n") == FIRST
