"""What every lake must do, whatever it is built on."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from lake_rows import rows

from onward.core.errors import DataError, DivergedError, NotFoundError
from onward.core.ports import Lake, Snapshot
from onward.core.records import Batch, DatasetRef, Delta

FLIGHTS = pa.table({"id": [1, 2], "origin": ["EWR", "JFK"]})
MORE = pa.table({"id": [3], "origin": ["LGA"]})


def stage(lake: Lake, table: pa.Table = FLIGHTS, **changes) -> Snapshot:
    given = {"branch": "audit", "mode": "append", "summary": {}} | changes
    return lake.stage("raw.flights", table, **given)


def batch(staged: Snapshot, mode: str = "append", base: int | None = None) -> Batch:
    return Batch(
        dataset="flights", table=staged.table, branch="audit", run="r1", mode=mode,
        rows=0, base=base, snapshot=staged.id,
    )  # fmt: skip


def shown(lake: Lake, data: DatasetRef | Batch | Delta | pa.Table) -> list[tuple]:
    with lake.open({"data": data}) as connection:
        return rows(connection.table("data").to_pyarrow())


# ---------------------------------------------------------------- nothing published


def test_an_empty_lake_has_nothing(lake: Lake) -> None:
    assert lake.tables() == []
    assert lake.schema("raw.flights") is None
    assert lake.head("raw.flights") is None
    assert lake.history("raw.flights") == []
    lake.drop_branch("raw.flights", "audit")
    with pytest.raises(NotFoundError, match=r"raw\.flights"):
        lake.dataset("raw.flights")
    with pytest.raises(NotFoundError, match=r"raw\.flights"):
        lake.read("raw.flights")
    with pytest.raises(NotFoundError, match=r"raw\.flights"):
        lake.publish("raw.flights", "audit", expect=None)


def test_a_new_table_is_not_seen_before_it_is_published(lake: Lake) -> None:
    staged = stage(lake)
    assert lake.tables() == []
    assert lake.schema("raw.flights") is None
    assert lake.head("raw.flights") is None
    assert lake.history("raw.flights") == []
    assert lake.head("raw.flights", "audit") == staged
    with pytest.raises(NotFoundError):
        lake.dataset("raw.flights")

    published = lake.publish("raw.flights", "audit", expect=None)
    assert published == staged
    assert lake.tables() == ["raw.flights"]
    assert lake.schema("raw.flights") == FLIGHTS.schema
    assert lake.dataset("raw.flights") == DatasetRef(
        table="raw.flights", snapshot=staged.id, rows=2
    )
    assert lake.head("raw.flights", "audit") is None


def test_a_mistyped_name_is_told_the_nearest(lake: Lake) -> None:
    lake.append("raw.flights", FLIGHTS, key="1")
    with pytest.raises(NotFoundError) as caught:
        lake.dataset("raw.flihgts")
    assert "raw.flights" in caught.value.expected
    with pytest.raises(NotFoundError) as caught:
        lake.read("raw.flights", columns=["orgin"])
    assert "origin" in caught.value.expected
    with pytest.raises(NotFoundError, match="snapshot 7"):
        lake.read("raw.flights", snapshot=7)


# ---------------------------------------------------------------- write, audit, publish


def test_readers_see_a_batch_when_it_is_published(lake: Lake) -> None:
    base = lake.append("raw.flights", FLIGHTS, key="1")
    staged = stage(lake, MORE, summary={"cursor": "file 3", "key": "k"})
    assert (staged.parent, staged.rows) == (base.id, 3)
    assert lake.dataset("raw.flights").snapshot == base.id
    assert rows(lake.read("raw.flights")) == rows(FLIGHTS)
    assert shown(lake, batch(staged)) == rows(MORE)

    published = lake.publish("raw.flights", "audit", expect=base.id, key="k")
    assert rows(lake.read("raw.flights")) == [*rows(FLIGHTS), *rows(MORE)]
    assert published.summary == {"cursor": "file 3", "key": "k"}
    assert [s.id for s in lake.history("raw.flights")] == [base.id, staged.id]
    assert lake.head("raw.flights") == lake.history("raw.flights")[-1] == published
    assert abs(published.at - datetime.now(UTC)) < timedelta(minutes=1)


def test_a_batch_can_still_be_read_after_its_branch_is_gone(lake: Lake) -> None:
    first = stage(lake)
    second = stage(lake, MORE)
    lake.publish("raw.flights", "audit", expect=None)
    assert shown(lake, batch(first)) == rows(FLIGHTS)
    assert shown(lake, batch(second)) == rows(MORE) == rows(lake.read("raw.flights"))


def test_staging_again_cuts_the_branch_afresh(lake: Lake) -> None:
    base = lake.append("raw.flights", FLIGHTS, key="1")
    stage(lake, FLIGHTS)
    staged = stage(lake, MORE)
    assert staged.parent == base.id
    lake.publish("raw.flights", "audit", expect=base.id)
    assert lake.dataset("raw.flights").rows == 3


def test_replacing_makes_the_branch_the_table(lake: Lake) -> None:
    base = lake.append("raw.flights", FLIGHTS, key="1")
    other = pa.table({"origin": [7], "temp": [1.5]})
    staged = stage(lake, other, mode="replace")
    assert staged.rows == 1
    assert shown(lake, batch(staged, "replace", base.id)) == rows(other)
    assert lake.schema("raw.flights") == FLIGHTS.schema
    assert rows(lake.read("raw.flights")) == rows(FLIGHTS)

    lake.publish("raw.flights", "audit", expect=base.id)
    assert lake.schema("raw.flights") == other.schema
    assert lake.read("raw.flights") == other
    assert lake.read("raw.flights", snapshot=base.id) == FLIGHTS
    back = stage(lake, FLIGHTS, mode="replace")
    lake.publish("raw.flights", "audit", expect=staged.id)
    assert lake.dataset("raw.flights") == DatasetRef(table="raw.flights", snapshot=back.id, rows=2)
    assert lake.read("raw.flights") == FLIGHTS


@pytest.mark.parametrize("mode", ["append", "replace"])
def test_no_rows_still_commit_a_summary(lake: Lake, mode: str) -> None:
    nothing = FLIGHTS.slice(0, 0)
    staged = stage(lake, nothing, summary={"cursor": "1"}, mode=mode)
    assert shown(lake, batch(staged, mode)) == []
    lake.publish("raw.flights", "audit", expect=None)
    assert lake.head("raw.flights").summary == {"cursor": "1"}
    assert lake.read("raw.flights") == nothing

    again = stage(lake, nothing, summary={"cursor": "2"}, mode=mode)
    lake.publish("raw.flights", "audit", expect=staged.id)
    assert [s.summary["cursor"] for s in lake.history("raw.flights")] == ["1", "2"]
    assert lake.dataset("raw.flights").snapshot == again.id


def test_a_branch_that_main_has_left_behind_is_refused(lake: Lake) -> None:
    base = lake.append("raw.flights", FLIGHTS, key="1")
    stage(lake, MORE)
    lake.append("raw.flights", MORE, key="2")
    with pytest.raises(DivergedError) as caught:
        lake.publish("raw.flights", "audit", expect=base.id)
    assert caught.value.next_step
    assert lake.dataset("raw.flights").rows == 3
    with pytest.raises(DivergedError):
        lake.publish("raw.flights", "audit", expect=lake.head("raw.flights").id)

    staged = stage(lake, MORE)
    lake.publish("raw.flights", "audit", expect=staged.parent)
    assert lake.dataset("raw.flights").rows == 4


def test_publishing_twice_is_publishing_once(lake: Lake) -> None:
    stage(lake, summary={"key": "k"})
    first = lake.publish("raw.flights", "audit", expect=None, key="k")
    assert lake.publish("raw.flights", "audit", expect=None, key="k") == first
    assert lake.publish("raw.flights", "audit", expect=None) == first

    later = lake.append("raw.flights", MORE, key="later")
    stage(lake, summary={"key": "k"})
    assert lake.publish("raw.flights", "audit", expect=later.id, key="k") == first
    assert lake.head("raw.flights", "audit") is None
    assert lake.dataset("raw.flights").rows == 3


def test_an_unknown_branch_is_refused(lake: Lake) -> None:
    stage(lake, branch="audit_r1")
    with pytest.raises(NotFoundError) as caught:
        lake.publish("raw.flights", "audit_r2", expect=None)
    assert "audit_r1" in caught.value.expected
    lake.drop_branch("raw.flights", "audit_r1")
    lake.drop_branch("raw.flights", "audit_r1")
    with pytest.raises(NotFoundError):
        lake.publish("raw.flights", "audit_r1", expect=None)


def test_a_key_that_was_not_staged_is_a_mistake_of_the_caller(lake: Lake) -> None:
    stage(lake)
    with pytest.raises(DataError, match="'k'"):
        lake.publish("raw.flights", "audit", expect=None, key="k")
    with pytest.raises(ValueError, match="main"):
        stage(lake, branch="main")


# ---------------------------------------------------------------- append


def test_appending_is_once_per_key(lake: Lake) -> None:
    first = lake.append("raw.flights", FLIGHTS, key="1", summary={"of": "a"})
    assert first.summary == {"of": "a", "key": "1"}
    second = lake.append("raw.flights", MORE, key="2")
    assert lake.append("raw.flights", FLIGHTS, key="1") == first
    assert second.rows == lake.dataset("raw.flights").rows == 3


def test_appending_nothing_makes_no_table_but_keeps_its_key(lake: Lake) -> None:
    nothing = FLIGHTS.slice(0, 0)
    assert lake.append("raw.flights", nothing, key="1") is None
    assert lake.append("raw.flights", nothing.to_reader(), key="1") is None
    assert lake.tables() == []
    lake.append("raw.flights", FLIGHTS.to_reader(max_chunksize=1), key="1")
    assert rows(lake.read("raw.flights")) == rows(FLIGHTS)
    kept = lake.append("raw.flights", nothing, key="2")
    assert lake.append("raw.flights", MORE, key="2") == kept
    assert lake.dataset("raw.flights").rows == 2


def test_a_stream_is_staged_as_a_table_is(lake: Lake) -> None:
    table = pa.table({"id": range(10_000)})
    reader = pa.RecordBatchReader.from_batches(table.schema, table.to_batches(max_chunksize=999))
    staged = lake.stage("raw.n", reader, branch="b", mode="replace", summary={})
    assert staged.rows == 10_000
    lake.publish("raw.n", "b", expect=None)
    assert rows(lake.read("raw.n")) == rows(table)


def test_an_error_of_the_stream_leaves_nothing(lake: Lake) -> None:
    def broken():
        yield from FLIGHTS.to_batches()
        raise FileNotFoundError("source.csv")

    lake.append("raw.flights", FLIGHTS, key="1")
    reader = pa.RecordBatchReader.from_batches(FLIGHTS.schema, broken())
    with pytest.raises(FileNotFoundError, match=r"source\.csv"):
        lake.append("raw.flights", reader, key="2")
    assert len(lake.history("raw.flights")) == 1


# ---------------------------------------------------------------- columns


def test_columns_may_be_added(lake: Lake) -> None:
    base = lake.append("raw.flights", FLIGHTS, key="1")
    wider = MORE.append_column("temp", pa.array([1.5]))
    staged = stage(lake, wider.select(["temp", "origin", "id"]))
    assert lake.schema("raw.flights") == FLIGHTS.schema
    assert shown(lake, batch(staged, base=base.id)) == rows(wider)
    lake.publish("raw.flights", "audit", expect=base.id)
    assert lake.schema("raw.flights") == wider.schema
    expected = [(1, "EWR", None), (2, "JFK", None), (3, "LGA", 1.5)]
    assert rows(lake.read("raw.flights")) == expected
    assert shown(lake, lake.dataset("raw.flights")) == expected
    assert shown(lake, DatasetRef(table="raw.flights", snapshot=base.id, rows=2)) == rows(FLIGHTS)


@pytest.mark.parametrize(
    ("bad", "difference"),
    [
        (MORE.select(["id"]), "- origin (string)"),
        (pa.table({"id": ["x"], "origin": ["x"]}), "~ id: int64 in the table, string here"),
        (pa.table({"id": [3], "from": ["x"]}), "+ from (string)"),
    ],
)
@pytest.mark.parametrize("verb", ["stage", "append"])
def test_columns_may_not_go_or_change(
    lake: Lake, bad: pa.Table, difference: str, verb: str
) -> None:
    lake.append("raw.flights", FLIGHTS, key="1")
    with pytest.raises(DataError) as caught:
        stage(lake, bad) if verb == "stage" else lake.append("raw.flights", bad, key="2")
    assert difference in caught.value.what
    assert lake.head("raw.flights", "audit") is None
    assert len(lake.history("raw.flights")) == 1


def test_an_unpublished_table_takes_any_columns(lake: Lake) -> None:
    stage(lake, FLIGHTS)
    other = pa.table({"id": ["one"]})
    stage(lake, other)
    lake.publish("raw.flights", "audit", expect=None)
    assert lake.read("raw.flights") == other


# ---------------------------------------------------------------- open, compact


def test_one_connection_shows_snapshots_batches_and_tables(lake: Lake) -> None:
    old = lake.append("raw.flights", FLIGHTS, key="1")
    lake.append("raw.flights", MORE, key="2")
    staged = lake.stage("raw.other", MORE, branch="audit", mode="append", summary={})
    given = {
        "now": lake.dataset("raw.flights"),
        "before": DatasetRef(table="raw.flights", snapshot=old.id, rows=2),
        "staged": batch(staged),
        "a \"quoted' name": FLIGHTS,
    }
    with lake.open(given) as connection:
        found = {name: rows(connection.table(name).to_pyarrow()) for name in given}
        joined = connection.table("now").join(connection.table("staged"), "id").count().to_pyarrow()
        zone = connection.raw_sql("SELECT current_setting('TimeZone')").fetchone()
    assert list(found.values()) == [
        [*rows(FLIGHTS), *rows(MORE)], rows(FLIGHTS), rows(MORE), rows(FLIGHTS),
    ]  # fmt: skip
    assert joined.as_py() == 1
    assert zone == ("UTC",)


def test_times_come_back_in_microseconds_and_utc(lake: Lake) -> None:
    noon = datetime(2013, 1, 1, 12, tzinfo=UTC)
    table = pa.table(
        {
            "naive": pa.array([noon.replace(tzinfo=None)], pa.timestamp("ns")),
            "zoned": pa.array([noon], pa.timestamp("ms", "America/New_York")),
        }
    )
    lake.append("raw.times", table, key="1")
    for column in lake.read("raw.times").columns:
        assert column.type == pa.timestamp("us", "UTC")
        assert column.to_pylist() == [noon]
    with lake.open({"t": lake.dataset("raw.times")}) as connection:
        assert connection.table("t").to_pyarrow() == lake.read("raw.times")


def test_compaction_keeps_rows_history_and_state(lake: Lake) -> None:
    for number in range(6):
        row = pa.table({"id": [number]})
        lake.append(
            "raw.n", row, key=str(number), summary={"a": "b"}, state={"cursor": str(number)}
        )
    before, history = lake.dataset("raw.n"), lake.history("raw.n")
    assert lake.compact("raw.n", every=6) is None
    compacted = lake.compact("raw.n", every=5)
    assert (compacted.summary, compacted.state) == ({}, {"cursor": "5"})
    assert lake.history("raw.n") == [*history, compacted]
    assert rows(lake.read("raw.n")) == [(n,) for n in range(6)] == shown(lake, before)
    assert lake.dataset("raw.n").rows == 6
    assert lake.compact("raw.n", every=5) is None
    assert lake.append("raw.n", row, key="5") == history[-1]
    assert lake.compact("raw.none", every=1) is None
    staged = lake.stage("raw.m", row, branch="b", mode="append", summary={})
    assert lake.compact(staged.table, every=0) is None


def test_another_opening_sees_the_same(
    open_lake: Callable[[Path], Lake], lake: Lake, tmp_path: Path
) -> None:
    lake.append("raw.flights", FLIGHTS, key="1")
    again = open_lake(tmp_path / "lake")
    assert again.history("raw.flights") == lake.history("raw.flights")
    later = again.append("raw.flights", MORE, key="2")
    assert lake.head("raw.flights") == later


# ---------------------------------------------------------------- state


def test_state_holds_until_it_changes(lake: Lake) -> None:
    lake.append("raw.n", pa.table({"id": [1]}), key="1", state={"a": "1", "b": "1"})
    lake.append("raw.n", pa.table({"id": [2]}), key="2", state={"b": "2"})
    staged = lake.stage(
        "raw.n", pa.table({"id": [3]}), branch="x", mode="replace", summary={}, state={"c": "3"}
    )
    assert lake.head("raw.n").state == {"a": "1", "b": "2"}
    lake.publish("raw.n", "x", expect=staged.parent)
    assert [dict(s.state) for s in lake.history("raw.n")] == [
        {"a": "1", "b": "1"}, {"a": "1", "b": "2"}, {"a": "1", "b": "2", "c": "3"},
    ]  # fmt: skip


def test_long_state_is_kept_and_read_back(lake: Lake) -> None:
    long, odd = "é" * 100_000, "@not a file"
    lake.append("raw.n", pa.table({"id": [1]}), key="1", state={"long": long, "odd": odd})
    lake.append("raw.n", pa.table({"id": [2]}), key="2")
    assert lake.head("raw.n").state == {"long": long, "odd": odd}
