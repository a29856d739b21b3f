"""What every online store promises."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from onward.core.ports import OnlineStore
from onward.core.records import ViewPlan
from onward.infra.online.sqlite import open_store

NOON = datetime(2013, 6, 1, 12, tzinfo=UTC)
CARRIERS = ViewPlan(
    name="carriers",
    version=1,
    table="features.carriers_v1",
    entity=("carrier",),
    columns=("late", "hub"),
    ttl_s=3600.0,
)
ROUTES = ViewPlan(
    name="routes",
    version=3,
    table="features.routes_v3",
    entity=("origin", "number"),
    columns=("late",),
)

Open = Callable[[Path], OnlineStore]
STORES: dict[str, Open] = {"sqlite": lambda folder: open_store(str(folder / "online.db"))}


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OnlineStore]:
    opened = STORES[request.param](tmp_path)
    yield opened
    opened.close()


def carriers(*rows: tuple[str | None, datetime, float | None, str | None]) -> pa.Table:
    names, times, late, hub = zip(*rows, strict=True) if rows else ((), (), (), ())
    return pa.table(
        {
            "carrier": pa.array(names, pa.string()),
            "event_time": pa.array(times, pa.timestamp("us", "UTC")),
            "late": pa.array(late, pa.float64()),
            "hub": pa.array(hub, pa.string()),
        }
    )


def test_gives_features_in_the_plans_order_and_none_for_the_missing(store: OnlineStore) -> None:
    assert store.write(CARRIERS, carriers(("UA", NOON, 0.5, "EWR"), ("AA", NOON, None, None))) == 2
    asked = [("AA",), ("XX",), ("UA",), ("UA",)]
    assert list(store.read(CARRIERS, asked, NOON)) == [
        (None, None), None, (0.5, "EWR"), (0.5, "EWR"),
    ]  # fmt: skip
    assert list(store.read(CARRIERS, [("UA",)], NOON)) == [(0.5, "EWR")]
    assert list(store.read(CARRIERS, [], NOON)) == []


def test_a_view_never_written_has_nothing(store: OnlineStore) -> None:
    assert list(store.read(CARRIERS, [("UA",), ("AA",)], NOON)) == [None, None]
    assert store.mark(CARRIERS) is None


def test_versions_do_not_see_each_other(store: OnlineStore) -> None:
    later = ViewPlan(
        name="carriers", version=2, table="features.carriers_v2", entity=("carrier",),
        columns=("late", "hub"),
    )  # fmt: skip
    store.write(CARRIERS, carriers(("UA", NOON, 0.5, "EWR")))
    store.write(later, carriers(("UA", NOON, 0.7, "JFK")))
    assert list(store.read(CARRIERS, [("UA",)], NOON)) == [(0.5, "EWR")]
    assert list(store.read(later, [("UA",)], NOON)) == [(0.7, "JFK")]


def test_an_older_row_never_overwrites_a_newer_one(store: OnlineStore) -> None:
    store.write(CARRIERS, carriers(("UA", NOON, 0.5, "new")))
    assert store.write(CARRIERS, carriers(("UA", NOON - timedelta(seconds=1), 0.1, "old"))) == 0
    assert list(store.read(CARRIERS, [("UA",)], NOON)) == [(0.5, "new")]
    assert store.write(CARRIERS, carriers(("UA", NOON, 0.6, "corrected"))) == 1
    assert list(store.read(CARRIERS, [("UA",)], NOON)) == [(0.6, "corrected")]


def test_a_row_is_served_up_to_and_at_its_time_to_live(store: OnlineStore) -> None:
    store.write(CARRIERS, carriers(("UA", NOON, 0.5, "EWR")))
    edge = NOON + timedelta(hours=1)
    assert list(store.read(CARRIERS, [("UA",)], edge)) == [(0.5, "EWR")]
    assert list(store.read(CARRIERS, [("UA",)], edge + timedelta(microseconds=1))) == [None]
    both = [("UA",), ("AA",)]
    assert list(store.read(CARRIERS, both, edge + timedelta(microseconds=1))) == [None, None]


def test_composite_entities_with_whole_numbers_as_json_gives_them(store: OnlineStore) -> None:
    rows = pa.table(
        {
            "origin": ["EWR", "EWR", None],
            "number": pa.array([7, 8, 9], pa.int64()),
            "event_time": pa.array([NOON] * 3, pa.timestamp("us", "UTC")),
            "late": [0.7, 0.8, 0.9],
        }
    )
    assert store.write(ROUTES, rows) == 2, "a row without an entity can never be asked for"
    asked = [("EWR", 7), ("EWR", 8.0), ("JFK", 7), (None, 9), ("EWR", 7.5)]
    assert list(store.read(ROUTES, asked, NOON)) == [(0.7,), (0.8,), None, None, None]
    assert list(store.read(ROUTES, [("EWR", 7.0)], NOON)) == [(0.7,)]


def test_a_mark_commits_with_its_rows(store: OnlineStore) -> None:
    store.write(CARRIERS, carriers(("UA", NOON, 0.5, "EWR")), mark="17@noon")
    assert store.mark(CARRIERS) == "17@noon"
    store.write(CARRIERS, carriers(), mark="18@noon")
    assert store.mark(CARRIERS) == "18@noon"
    store.write(CARRIERS, carriers(("AA", NOON, 0.5, "EWR")))
    assert store.mark(CARRIERS) == "18@noon"
    with pytest.raises(KeyError):
        store.write(CARRIERS, carriers(("UA", NOON, 0.9, "JFK")).drop(["late"]), mark="19@noon")
    assert store.mark(CARRIERS) == "18@noon"
    assert list(store.read(CARRIERS, [("UA",)], NOON)) == [(0.5, "EWR")]


@pytest.mark.parametrize("name", STORES)
def test_what_was_written_is_there_when_the_store_is_opened_again(
    name: str, tmp_path: Path
) -> None:
    first = STORES[name](tmp_path)
    first.write(CARRIERS, carriers(("UA", NOON, 0.5, "EWR")), mark="1")
    first.close()
    second = STORES[name](tmp_path)
    assert list(second.read(CARRIERS, [("UA",)], NOON)) == [(0.5, "EWR")]
    assert second.mark(CARRIERS) == "1"
    second.close()


def test_more_entities_than_one_query_takes(store: OnlineStore) -> None:
    count = 25_000
    store.write(CARRIERS, carriers(*((f"c{i}", NOON, float(i), None) for i in range(count))))
    answers = store.read(CARRIERS, [(f"c{i}",) for i in range(count + 1)], NOON)
    assert list(answers) == [(float(i), None) for i in range(count)] + [None]


@given(
    writes=st.lists(
        st.lists(
            st.tuples(
                st.sampled_from(["a", "b", "c", None]),
                st.integers(0, 5),
                st.none() | st.floats(allow_nan=False, allow_infinity=False),
            ),
            max_size=5,
        ),
        max_size=6,
    ),
    at=st.integers(0, 3700),
)
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_the_newest_row_wins_whatever_the_order(
    tmp_path_factory: pytest.TempPathFactory,
    writes: list[list[tuple[str | None, int, float | None]]],
    at: int,
) -> None:
    for make in STORES.values():
        store = make(tmp_path_factory.mktemp("store"))
        newest: dict[str, tuple[int, float | None]] = {}
        for rows in writes:
            store.write(
                CARRIERS,
                carriers(*((n, NOON + timedelta(seconds=t), v, None) for n, t, v in rows)),
            )
            for name, time, value in rows:
                if name is not None and (name not in newest or time >= newest[name][0]):
                    newest[name] = (time, value)
        asked = ["a", "b", "c"]
        found = store.read(CARRIERS, [(n,) for n in asked], NOON + timedelta(seconds=at))
        expected = [
            (newest[n][1], None) if n in newest and at - newest[n][0] <= 3600 else None
            for n in asked
        ]
        assert list(found) == expected
        store.close()
