"""The join against an oracle in plain Python, and against Polars where no row is late."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import duckdb
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onward.core.records import ViewPlan
from onward.stages.features.point_in_time import IN_ORDER, Joined, join, marks

EPOCH = datetime(2013, 1, 1, tzinfo=UTC)
TIME = pa.timestamp("us", "UTC")


class Given(NamedTuple):
    """A view's row; times in microseconds after `EPOCH`."""

    a: str | None
    b: int | None
    event: int
    available: int
    value: float | None


def at(microseconds: int) -> datetime:
    return EPOCH + timedelta(microseconds=microseconds)


def oracle(
    spine: Sequence[tuple[str | None, int | None, int]], rows: Sequence[Given], ttl: int | None
) -> list[float | None]:
    found = []
    for a, b, t in spine:
        usable = [
            row
            for row in rows
            if (row.a, row.b) == (a, b)
            and None not in (a, b)
            and max(row.event, row.available) <= t
            and (ttl is None or t - row.event <= ttl)
        ]
        newest = max(usable, key=lambda row: (row.event, row.available), default=None)
        found.append(newest.value if newest else None)
    return found


def spine_table(spine: Sequence[tuple[str | None, int | None, int]]) -> pa.Table:
    return pa.table(
        {
            "a": pa.array([s[0] for s in spine], pa.string()),
            "b": pa.array([s[1] for s in spine], pa.int64()),
            "event_time": pa.array([at(s[2]) for s in spine], TIME),
        }
    )


def put(connection: Any, name: str, rows: Sequence[Given], *, marked_before: int | None) -> None:
    """Make a view's table. Rows from `marked_before` on came by a backfill, after the marks."""
    table = pa.table(
        {
            "a": pa.array([r.a for r in rows], pa.string()),
            "b": pa.array([r.b for r in rows], pa.int64()),
            "event_time": pa.array([at(r.event) for r in rows], TIME),
            "available_at": pa.array([at(r.available) for r in rows], TIME),
            "value": pa.array([r.value for r in rows], pa.float64()),
            "part": pa.array([int(marked_before is not None and i >= marked_before)
                              for i in range(len(rows))]),
        }
    )  # fmt: skip
    connection.register("raw", table)
    first = marks("(FROM raw WHERE part = 0)", ["a", "b"])
    connection.execute(
        f"CREATE OR REPLACE TABLE {name} AS SELECT * EXCLUDE (known_at) FROM ({first})"
    )
    later = marks("raw", ["a", "b"])
    connection.execute(
        f"INSERT INTO {name} SELECT * EXCLUDE (known_at) FROM ({later}) WHERE part = 1"
    )


def view(name: str, ttl: int | None) -> ViewPlan:
    return ViewPlan(
        name=name, version=1, table=f"features.{name}_v1", entity=("a", "b"), columns=("value",),
        ttl_s=None if ttl is None else ttl / 1e6,
    )  # fmt: skip


names = st.sampled_from(["x", "y", None])
numbers = st.sampled_from([1, 2, None])
times = st.integers(0, 12)
spines = st.lists(st.tuples(names, numbers, times), max_size=25)
views = st.lists(
    st.builds(
        Given, a=names, b=numbers, event=times, available=times,
        value=st.none() | st.floats(allow_nan=False, allow_infinity=False),
    ),
    max_size=30,
    unique_by=lambda r: (r.a, r.b, r.event, r.available),
)  # fmt: skip
ttls = st.none() | st.integers(1, 12)


@given(
    spine=spines,
    tables=st.lists(st.tuples(views, ttls, st.booleans()), min_size=1, max_size=3),
    data=st.data(),
)
@settings(max_examples=150, deadline=None)
def test_every_row_gets_the_newest_that_was_known(
    spine: list[tuple[str | None, int | None, int]],
    tables: list[tuple[list[Given], int | None, bool]],
    data: st.DataObject,
) -> None:
    connection = duckdb.connect(config={"threads": 1})
    joined = []
    for i, (rows, ttl, backfilled) in enumerate(tables):
        split = data.draw(st.integers(0, len(rows))) if backfilled else None
        put(connection, f"v{i}", rows, marked_before=split)
        joined.append(Joined(view=view(f"v{i}", ttl), relation=f"v{i}", marked=not backfilled))
    found = join(connection, spine_table(spine), joined)
    assert found.column_names == [f"v{i}__value" for i in range(len(tables))]
    for i, (rows, ttl, _) in enumerate(tables):
        assert found[f"v{i}__value"].to_pylist() == oracle(spine, rows, ttl)
    connection.close()


@given(rows=views)
@settings(max_examples=60, deadline=None)
def test_a_row_is_in_order_if_nothing_known_by_then_is_newer(rows: list[Given]) -> None:
    connection = duckdb.connect(config={"threads": 1})
    put(connection, "v", rows, marked_before=None)
    found = connection.execute(
        f"SELECT a, b, epoch_us(event_time), epoch_us(available_at), {IN_ORDER} FROM v"
    ).fetchall()
    offset = EPOCH.timestamp() * 1e6
    for a, b, event, available, in_order in found:
        e, k = event - offset, max(event, available) - offset
        peers = [r for r in rows if (r.a, r.b) == (a, b) and max(r.event, r.available) <= k]
        assert in_order == ((e, available - offset) == max((r.event, r.available) for r in peers))
    connection.close()


@given(
    spine=st.lists(st.tuples(st.sampled_from("xyz"), st.just(1), times), max_size=40),
    rows=st.lists(st.tuples(st.sampled_from("xy"), times), max_size=30, unique=True),
    ttl=ttls,
)
@settings(max_examples=60, deadline=None)
def test_without_late_rows_it_is_polars_join(
    spine: list[tuple[str, int, int]], rows: list[tuple[str, int]], ttl: int | None
) -> None:
    lag = 2
    given = [Given(a, 1, t, t + lag, float(i)) for i, (a, t) in enumerate(rows)]
    connection = duckdb.connect(config={"threads": 1})
    put(connection, "v", given, marked_before=None)
    found = join(
        connection,
        spine_table(spine),
        [Joined(view=view("v", ttl), relation="v", marked=True)],
    )
    connection.close()
    left = pl.DataFrame(
        {"a": [s[0] for s in spine], "t": [s[2] for s in spine], "n": range(len(spine))},
        schema={"a": pl.String, "t": pl.Int64, "n": pl.Int64},
    ).sort("t")
    right = pl.DataFrame(
        {"a": [r.a for r in given], "known": [r.available for r in given],
         "v": [r.value for r in given], "e": [r.event for r in given]},
        schema={"a": pl.String, "known": pl.Int64, "v": pl.Float64, "e": pl.Int64},
    ).sort("known")  # fmt: skip
    expected = left.join_asof(
        right, left_on="t", right_on="known", by="a", check_sortedness=False
    ).sort("n")
    young = pl.lit(True) if ttl is None else (pl.col("t") - pl.col("e")) <= ttl
    values = expected.select(pl.when(young).then(pl.col("v")))["v"].to_list()
    assert found["v__value"].to_pylist() == values


def test_a_large_spine_keeps_its_order_and_its_number_of_rows() -> None:
    count = 200_000
    spine = pa.table(
        {
            "a": [f"e{i * 7919 % 1000}" for i in range(count)],
            "b": pa.array([1] * count, pa.int64()),
            "event_time": pa.array([at(i * 104729 % 5000) for i in range(count)], TIME),
        }
    )
    rows = [Given(f"e{e}", 1, t, t, float(e * 10_000 + t)) for e in range(1000) for t in (0, 2500)]
    connection = duckdb.connect(config={"threads": 2})
    put(connection, "v", rows, marked_before=None)
    found = join(connection, spine, [Joined(view=view("v", None), relation="v", marked=True)])
    connection.close()
    expected = [
        (i * 7919 % 1000) * 10_000.0 + (2500 if i * 104729 % 5000 >= 2500 else 0)
        for i in range(count)
    ]
    assert found["v__value"].to_pylist() == expected


@pytest.mark.parametrize(("age", "joined"), [(10, 1.0), (11, None)])
def test_age_may_equal_the_time_to_live(age: int, joined: float | None) -> None:
    connection = duckdb.connect(config={"threads": 1})
    put(connection, "v", [Given("x", 1, 0, 0, 1.0)], marked_before=None)
    found = join(
        connection, spine_table([("x", 1, age)]),
        [Joined(view=view("v", 10), relation="v", marked=True)],
    )  # fmt: skip
    connection.close()
    assert found["v__value"].to_pylist() == [joined]
