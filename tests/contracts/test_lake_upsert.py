"""What every lake must do with rows that take the place of earlier ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from onward.core.errors import DataError, DivergedError
from onward.core.ports import Lake, Snapshot

COLUMNS = pa.schema([("id", pa.int64()), ("seen", pa.int64()), ("name", pa.string())])
Row = tuple[int | None, int | None, str]


def table(*rows: Row) -> pa.Table:
    return pa.Table.from_pylist(
        [dict(zip(COLUMNS.names, row, strict=True)) for row in rows], COLUMNS
    )


def stage(lake: Lake, rows: pa.Table, **changed: object) -> Snapshot:
    wanted = {"branch": "b", "mode": "upsert", "summary": {}, "key": ["id"], "order": "seen"}
    return lake.stage("raw.people", rows, **wanted | changed)  # type: ignore[arg-type]


def upsert(lake: Lake, *rows: Row, **changed: object) -> Snapshot:
    head = lake.head("raw.people")
    stage(lake, table(*rows), **changed)
    return lake.publish("raw.people", "b", expect=head and head.id)


def stored(lake: Lake, snapshot: int | None = None) -> list[Row]:
    rows = lake.read("raw.people", snapshot=snapshot).to_pylist()
    return sorted(tuple(row.values()) for row in rows)  # type: ignore[misc]


def test_a_row_takes_the_place_of_the_one_with_its_key(lake: Lake) -> None:
    first = upsert(lake, (1, 10, "ann"), (2, 10, "bob"))
    second = upsert(lake, (2, 11, "rob"), (3, 11, "cid"))
    assert stored(lake) == [(1, 10, "ann"), (2, 11, "rob"), (3, 11, "cid")]
    assert stored(lake, first.id) == [(1, 10, "ann"), (2, 10, "bob")]
    assert (second.parent, second.rows, lake.dataset("raw.people").rows) == (first.id, 3, 3)


def test_of_one_keys_rows_the_latest_stays(lake: Lake) -> None:
    upsert(lake, (1, 12, "new"), (1, 11, "old"), (2, 5, "first"), (2, 5, "last"))
    assert stored(lake) == [(1, 12, "new"), (2, 5, "last")]
    upsert(lake, (1, 11, "older"), (2, None, "unknown"))
    assert stored(lake) == [(1, 12, "new"), (2, 5, "last")]
    upsert(lake, (1, 12, "same time"), (2, 1, "no order"), order=None)
    assert stored(lake) == [(1, 12, "same time"), (2, 1, "no order")]


def test_nothing_is_seen_before_it_is_published(lake: Lake) -> None:
    upsert(lake, (1, 10, "ann"))
    staged = stage(lake, table((1, 11, "eve")))
    assert stored(lake) == [(1, 10, "ann")]
    lake.drop_branch("raw.people", "b")
    assert stored(lake) == [(1, 10, "ann")]
    assert staged.rows == 1


def test_rows_that_all_come_too_late_leave_the_table_as_it_was(lake: Lake) -> None:
    upsert(lake, (1, 10, "ann"))
    after = upsert(lake, (1, 9, "eve"), summary={"cursor": "9"})
    assert stored(lake) == [(1, 10, "ann")]
    assert after.summary["cursor"] == "9"


def test_a_composite_key(lake: Lake) -> None:
    upsert(lake, (1, 1, "a"), (1, 2, "a"), key=["id", "name"])
    upsert(lake, (1, 3, "b"), (1, 3, "a"), key=["id", "name"])
    assert stored(lake) == [(1, 3, "a"), (1, 3, "b")]


def test_new_columns_are_null_in_the_rows_that_stay(lake: Lake) -> None:
    upsert(lake, (1, 1, "a"), (2, 1, "b"))
    head = lake.dataset("raw.people").snapshot
    wider = table((2, 2, "c")).append_column("city", pa.array(["Oslo"]))
    stage(lake, wider)
    lake.publish("raw.people", "b", expect=head)
    assert stored(lake) == [(1, 1, "a", None), (2, 2, "c", "Oslo")]
    with pytest.raises(DataError, match="do not fit"):
        stage(lake, table((1, 1, "a")).drop_columns(["name"]))


def test_a_key_of_a_later_date_matches_no_earlier_row(lake: Lake) -> None:
    upsert(lake, (1, 1, "a"))
    head = lake.dataset("raw.people").snapshot
    wider = table((1, 2, "b")).append_column("code", pa.array(["x"]))
    stage(lake, wider, key=["code"])
    lake.publish("raw.people", "b", expect=head)
    assert stored(lake) == [(1, 1, "a", None), (1, 2, "b", "x")]


def test_main_that_moved_on_is_never_overwritten(lake: Lake) -> None:
    base = upsert(lake, (1, 1, "a"))
    stage(lake, table((2, 1, "mine")))
    lake.append("raw.people", table((2, 1, "theirs")), key="k")
    with pytest.raises(DivergedError):
        lake.publish("raw.people", "b", expect=base.id)
    assert stored(lake) == [(1, 1, "a"), (2, 1, "theirs")]


def test_an_upsert_needs_a_key(lake: Lake) -> None:
    with pytest.raises(ValueError, match="needs a key"):
        stage(lake, table((1, 1, "a")), key=())


batches = st.lists(
    st.lists(
        st.tuples(
            st.sampled_from([None, 1, 2, 3, 4]),
            st.sampled_from([None, 1, 2, 3]),
            st.sampled_from("abc"),
        ),
        max_size=6,
    ),
    min_size=1,
    max_size=4,
)


@settings(
    max_examples=12,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(batches)
def test_any_batches_give_what_a_dictionary_gives(
    open_lake: Callable[[Path], Lake], happened: list[list[Row]]
) -> None:
    expected: dict[int | None, Row] = {}
    with TemporaryDirectory() as folder:
        lake = open_lake(Path(folder))
        for rows in happened:
            upsert(lake, *rows)
            for row in rows:
                before = expected.get(row[0])
                if before is None or (row[1] or 0) >= (before[1] or 0):
                    expected[row[0]] = row
        assert sorted(lake.read("raw.people").to_pylist(), key=repr) == sorted(
            table(*expected.values()).to_pylist(), key=repr
        )
