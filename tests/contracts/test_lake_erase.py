"""What every lake must do with rows that are to be nowhere."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
from lake_rows import put, replace, rows

from onward.core.errors import NotFoundError
from onward.core.ports import Erased, Lake

LATER = datetime.now(UTC) + timedelta(days=1)


def erase(lake: Lake, *values: int) -> Erased:
    return lake.erase("raw.n", lambda t: t.id.isin(values), orphaned_before=LATER)


def test_erased_rows_are_nowhere(lake: Lake) -> None:
    first, second, third = put(lake, 1), put(lake, 2, 20), put(lake, 3)
    lake.stage("raw.n", pa.table({"id": [2]}), branch="b", mode="append", summary={})
    done = erase(lake, 2, 99)
    assert (done.rows, done.branches, done.in_flight) == (1, ("b",), 0)
    assert {second.id, third.id} < set(done.expired)
    assert lake.head("raw.n") == done.snapshot
    assert rows(lake.read("raw.n")) == [(1,), (3,), (20,)]
    assert [s.id for s in lake.history("raw.n")] == [first.id, done.snapshot.id]
    assert rows(lake.read("raw.n", snapshot=first.id)) == [(1,)]
    with pytest.raises(NotFoundError, match=str(second.id)):
        lake.read("raw.n", snapshot=second.id)
    assert lake.head("raw.n", "b") is None


def test_a_commit_that_was_erased_is_still_known(lake: Lake) -> None:
    put(lake, 1)
    put(lake, 2)
    lake.stage("raw.n", pa.table({"id": [4]}), branch="b", mode="append", summary={"key": "k"})
    lake.publish("raw.n", "b", expect=lake.head("raw.n").id, key="k")
    erase(lake, 1)
    head = lake.head("raw.n")
    assert put(lake, 2) == head
    assert lake.publish("raw.n", "b", expect=None, key="k") == head
    assert rows(lake.read("raw.n")) == [(2,), (4,)]


def test_erasing_twice_is_erasing_once(lake: Lake) -> None:
    put(lake, 1, 2)
    first = erase(lake, 1)
    again = erase(lake, 1)
    assert (again.rows, again.snapshot, again.expired, again.files) == (0, None, (), 0)
    assert lake.head("raw.n") == first.snapshot
    assert lake.added("raw.n", after=None, upto=first.snapshot.id).rows == 1


def test_rows_that_main_has_left_behind_are_erased_from_its_past(lake: Lake) -> None:
    first = put(lake, 1)
    second = replace(lake, 2)
    done = erase(lake, 1)
    assert (done.rows, done.snapshot, done.expired) == (0, None, (first.id,))
    assert lake.history("raw.n") == [dataclasses.replace(second, parent=None)]


def test_all_rows_can_be_erased(lake: Lake) -> None:
    put(lake, 1)
    assert erase(lake, 1).rows == 1
    assert lake.read("raw.n").num_rows == 0
    put(lake, 2)
    assert rows(lake.read("raw.n")) == [(2,)]


def test_erasure_looks_at_columns_that_are_gone(lake: Lake) -> None:
    put(lake, 1)
    wide = pa.table({"id": [2], "name": ["ada"]})
    old = lake.append("raw.n", wide, key="wide")
    staged = lake.stage("raw.n", wide.select(["id"]), branch="x", mode="replace", summary={})
    lake.publish("raw.n", "x", expect=staged.parent)
    done = lake.erase("raw.n", lambda t: t.name == "ada", orphaned_before=LATER)
    assert (done.rows, done.expired) == (0, (old.id,))
    with pytest.raises(NotFoundError, match="nmae") as caught:
        lake.erase("raw.n", lambda t: t.nmae == "ada", orphaned_before=LATER)
    assert "name" in caught.value.expected
    with pytest.raises(NotFoundError):
        lake.erase("raw.none", lambda t: t.id == 1, orphaned_before=LATER)


def test_erasure_finds_a_value_under_the_type_it_had(lake: Lake) -> None:
    old = put(lake, 7, 8)
    text = pa.table({"id": ["7", "8"]})
    staged = lake.stage("raw.n", text, branch="x", mode="replace", summary={})
    lake.publish("raw.n", "x", expect=old.id)
    done = lake.erase("raw.n", lambda t: t.id == "7", orphaned_before=LATER)
    assert (done.rows, set(done.expired)) == (1, {old.id, staged.id})
    assert rows(lake.read("raw.n")) == [("8",)]
