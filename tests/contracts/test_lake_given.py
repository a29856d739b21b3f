"""What every lake must tell of a commit: how many rows came with it."""

from __future__ import annotations

import pyarrow as pa
import pytest

from onward.core.ports import Lake, Rows, Snapshot, Staged
from onward.core.records import Batch, Evolution, Mode, Partitions

ROWS = pa.table({"id": [1, 2, 3], "day": ["mon", "mon", "tue"]})
MORE = pa.table({"id": [3, 4, 4], "day": ["mon", "wed", "wed"]})


def stage(lake: Lake, rows: Rows, mode: Mode = "append", **changes) -> Snapshot:
    given = {"branch": "b", "summary": {"key": "k"}} | changes
    return lake.stage("raw.n", rows, mode=mode, **given)


def batch(staged: Snapshot) -> Batch:
    return Batch(
        dataset="n", table="raw.n", branch="b", run="r", mode="append", rows=staged.given,
        base=None, snapshot=staged.id,
    )  # fmt: skip


@pytest.mark.parametrize("size", [1, 2, 3])
def test_a_stream_is_counted(lake: Lake, size: int) -> None:
    assert stage(lake, ROWS.to_reader(max_chunksize=size)).given == 3


@pytest.mark.parametrize(
    "how",
    [
        {"mode": "append"},
        {"mode": "replace"},
        {"mode": "upsert", "key": ["id"]},
        {"mode": "partitions", "partitions": Partitions(column="day", values=("mon", "wed"))},
        {"mode": "append", "evolution": Evolution(retyped=("id",))},
    ],
    ids=["append", "replace", "upsert", "partitions", "retype"],
)
@pytest.mark.parametrize("count", [0, 3])
def test_rows_that_were_there_before_are_not_counted(lake: Lake, how, count: int) -> None:
    base = lake.append("raw.n", ROWS, key="first")
    assert base.given == 3
    rows = MORE.slice(0, count)
    if "evolution" in how:
        rows = rows.set_column(0, "id", rows["id"].cast(pa.string()))
    staged = stage(lake, rows, **how)
    assert staged.given == count
    assert lake.publish("raw.n", "b", expect=base.id).given == count
    assert [one.given for one in lake.history("raw.n")] == [3, count]


def test_staged_rows_are_counted_without_those_left_out(lake: Lake) -> None:
    staged = stage(lake, ROWS)
    again = stage(lake, Staged(batch=batch(staged), without=pa.array([2])))
    assert (again.given, again.rows) == (2, 2)
    merged = stage(lake, Staged(batch=batch(again)), mode="upsert", key=["id"])
    assert merged.given == 2


def test_a_compaction_brings_none_and_a_branch_keeps_its_count_above_it(lake: Lake) -> None:
    for row in range(3):
        lake.append("raw.n", ROWS.slice(row, 1), key=str(row))
    base = lake.head("raw.n")
    assert base is not None
    stage(lake, MORE)
    compacted = lake.compact("raw.n", every=2)
    assert compacted is not None
    assert compacted.given == 0
    assert lake.publish("raw.n", "b", expect=base.id).given == 3
