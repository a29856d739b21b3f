"""What every lake must do when old snapshots, branches and files go."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
from lake_rows import put

from onward.core.errors import NotFoundError
from onward.core.ports import Lake, Snapshot, Swept
from onward.core.records import DatasetRef

LATER = datetime.now(UTC) + timedelta(days=1)
EARLIER = datetime.now(UTC) - timedelta(days=1)


def stage(lake: Lake, *values: int, branch: str = "b") -> Snapshot:
    table = pa.table({"id": list(values)})
    return lake.stage("raw.n", table, branch=branch, mode="append", summary={"key": branch})


def sweep(lake: Lake, *snapshots: Snapshot, branches=(), before=EARLIER) -> Swept:
    given = {"snapshots": [s.id for s in snapshots], "branches": branches, "before": before}
    history = lake.history("raw.n")
    weighed = lake.weigh("raw.n", **given)
    assert lake.history("raw.n") == history
    done = lake.sweep("raw.n", **given)
    assert done == weighed
    return done


def ids(lake: Lake, snapshot: Snapshot | None = None) -> list[int]:
    return sorted(lake.read("raw.n", snapshot=snapshot and snapshot.id)["id"].to_pylist())


def test_expired_snapshots_are_gone_and_the_others_stay(lake: Lake) -> None:
    first, second, third, fourth = (put(lake, n, state={"at": str(n)}) for n in range(1, 5))
    done = sweep(lake, second, fourth)
    assert done.snapshots == (second.id,)
    assert [s.id for s in lake.history("raw.n")] == [first.id, third.id, fourth.id]
    assert ids(lake) == [1, 2, 3, 4]
    assert ids(lake, first) == [1]
    assert ids(lake, third) == [1, 2, 3]
    with pytest.raises(NotFoundError, match=str(second.id)):
        lake.read("raw.n", snapshot=second.id)
    with (
        pytest.raises(NotFoundError, match="expired"),
        lake.open({"n": DatasetRef(table="raw.n", snapshot=second.id, rows=2)}),
    ):
        pass
    assert lake.head("raw.n").state == {"at": "4"}
    assert sweep(lake, second) == Swept(
        table="raw.n", snapshots=(), branches=(), files=0, orphans=0, bytes=0
    )


def test_files_go_with_the_last_snapshot_that_needs_them(lake: Lake) -> None:
    history = [put(lake, n) for n in range(3)]
    compacted = lake.compact("raw.n", every=1)
    before = lake.head("raw.n")
    done = sweep(lake, *history)
    assert done.files >= 3 + 3  # data files and manifest lists
    assert done.bytes > 0
    assert (before.files, compacted.change) == (1, "compact")
    assert ids(lake) == [0, 1, 2]
    assert [s.id for s in lake.history("raw.n")] == [compacted.id]


def test_a_commit_is_known_after_its_snapshot_is_gone(lake: Lake) -> None:
    first = put(lake, 1)
    stage(lake, 2)
    second = lake.publish("raw.n", "b", expect=first.id)
    head = put(lake, 3)
    sweep(lake, first, second)
    assert put(lake, 1).id == head.id
    assert lake.publish("raw.n", "b", expect=first.id).id == head.id
    assert ids(lake) == [1, 2, 3]


def test_deltas_outlive_what_is_between_their_ends(lake: Lake) -> None:
    first, second, third = (put(lake, n) for n in range(3))
    sweep(lake, second)
    assert lake.added("raw.n", after=first.id, upto=third.id).rows == 2
    assert lake.added("raw.n", after=second.id, upto=third.id) is None
    lake.compact("raw.n", every=1)
    assert lake.added("raw.n", after=first.id, upto=lake.head("raw.n").id) is None


def test_branches_go_and_what_was_abandoned(lake: Lake) -> None:
    put(lake, 1)
    kept, dropped = stage(lake, 2, branch="kept"), stage(lake, 3, branch="dropped")
    abandoned = stage(lake, 4, branch="again")
    again = stage(lake, 5, branch="again")
    assert lake.branches() == {"raw.n": {"kept": kept, "dropped": dropped, "again": again}}
    done = sweep(lake, branches=["dropped"])
    assert (done.branches, done.snapshots) == (("dropped",), ())
    assert set(lake.branches()["raw.n"]) == {"kept", "again"}
    done = sweep(lake, before=LATER)
    assert set(done.snapshots) == {dropped.id, abandoned.id}
    lake.publish("raw.n", "again", expect=again.parent)
    assert ids(lake) == [1, 5]


def test_a_table_that_was_never_published_can_be_swept(lake: Lake) -> None:
    stage(lake, 1)
    done = lake.sweep("raw.n", snapshots=[], branches=["b"], before=LATER)
    assert done.branches == ("b",)
    assert lake.branches() == {}
    assert lake.tables() == []
    stage(lake, 2)
    lake.publish("raw.n", "b", expect=None)
    assert ids(lake) == [2]


def test_long_state_outlives_the_snapshot_that_said_it(lake: Lake) -> None:
    first = put(lake, 1, state={"long": "x" * 10_000})
    put(lake, 2)
    sweep(lake, first, before=LATER)
    assert lake.head("raw.n").state == {"long": "x" * 10_000}
