"""What a table gained between two snapshots, and publishing over files that were rewritten."""

from __future__ import annotations

import pyarrow as pa
import pytest
from lake_rows import put, replace, rows

from onward.core.errors import NotFoundError
from onward.core.ports import Lake, Snapshot
from onward.core.records import Delta


def gained(lake: Lake, after: Snapshot | None, upto: Snapshot) -> list[tuple] | None:
    delta = lake.added("raw.n", after=after and after.id, upto=upto.id)
    if delta is None:
        return None
    with lake.open({"gained": delta}) as connection:
        found = rows(connection.table("gained").to_pyarrow())
    assert delta.rows == len(found)
    return found


def test_a_delta_is_what_was_appended_whatever_was_compacted(lake: Lake) -> None:
    first, second, third = put(lake, 1), put(lake, 2), put(lake, 3, 3)
    assert gained(lake, None, first) == [(1,)]
    assert gained(lake, first, third) == [(2,), (3,), (3,)]
    assert gained(lake, third, third) == []
    compacted = lake.compact("raw.n", every=1)
    fourth = put(lake, 4)
    assert gained(lake, second, compacted) == [(3,), (3,)]
    assert gained(lake, second, fourth) == [(3,), (3,), (4,)]
    assert gained(lake, compacted, fourth) == [(4,)]
    assert gained(lake, None, fourth) == [(1,), (2,), (3,), (3,), (4,)]


def test_there_is_no_delta_over_what_was_replaced(lake: Lake) -> None:
    first = put(lake, 1)
    second = replace(lake, 7)
    third = put(lake, 8)
    assert gained(lake, first, third) is None
    assert gained(lake, second, third) == [(8,)]
    assert gained(lake, third, first) is None
    assert gained(lake, None, third) == [(7,), (8,)]
    gone = Delta(table="raw.n", after=first.id, upto=third.id, rows=1)
    with pytest.raises(NotFoundError, match="cannot be told"), lake.open({"gained": gone}):
        pass


# ---------------------------------------------------------------- compaction beside an audit


@pytest.mark.parametrize("mode", ["append", "replace"])
@pytest.mark.parametrize("again", [False, True], ids=["staged before", "staged after"])
def test_a_branch_is_published_over_compacted_files(lake: Lake, mode: str, again: bool) -> None:
    put(lake, 1)
    base = put(lake, 2)
    wider = pa.table({"id": [3], "more": ["x"]})

    def staged() -> Snapshot:
        return lake.stage("raw.n", wider, branch="b", mode=mode, summary={"key": "k"})

    staged()
    lake.compact("raw.n", every=1)
    if again:
        staged()
    published = lake.publish("raw.n", "b", expect=base.id, key="k")
    assert lake.publish("raw.n", "b", expect=base.id, key="k") == published == lake.head("raw.n")
    assert published.summary == {"key": "k"}
    kept = [(1, None), (2, None)] if mode == "append" else []
    found = [tuple(row.values()) for row in lake.read("raw.n").sort_by("id").to_pylist()]
    assert found == [*kept, (3, "x")]
    assert published.rows == len(found)
    assert lake.head("raw.n", "b") is None
