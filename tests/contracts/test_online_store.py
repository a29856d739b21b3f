"""What every online store promises."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from onward.core.ports import Entity, OnlineRow, OnlineStore
from onward.core.records import Materialized, ViewPlan
from onward.infra.online import postgres, redis, sqlite

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

NOON_US = int(NOON.timestamp()) * 1_000_000
Open = Callable[[], OnlineStore]
_namespaces = (f"n{i}" for i in count())


@pytest.fixture(params=["sqlite", "redis", "postgres"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """Open one and the same store, as often as it is called."""
    namespace = next(_namespaces)

    def make() -> OnlineStore:
        match request.param:
            case "sqlite":
                return sqlite.open_store(str(tmp_path / "online.db"))
            case "redis":
                url = request.getfixturevalue("redis_server").url
                return redis.open_store(url, namespace)
            case _:
                url = request.getfixturevalue("postgres_url")
                return postgres.open_store(url, namespace)

    with ExitStack() as stack:
        yield lambda: _closing(stack, make())


def _closing(stack: ExitStack, store: OnlineStore) -> OnlineStore:
    stack.callback(store.close)
    return store


@pytest.fixture
def store(opened: Open) -> OnlineStore:
    return opened()


def read(store: OnlineStore, view: ViewPlan, *entities: Entity) -> list[tuple[object, ...] | None]:
    """Return the features alone."""
    [rows] = store.read([(view, entities)])
    return [None if row is None else row[1] for row in rows]


def marked(number: int) -> Materialized:
    return Materialized(snapshot=number, at=NOON, newest=None)


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


def routes(*rows: tuple[str | None, int, float]) -> pa.Table:
    origins, numbers, late = zip(*rows, strict=True)
    return pa.table(
        {
            "origin": pa.array(origins, pa.string()),
            "number": pa.array(numbers, pa.int64()),
            "event_time": pa.array([NOON] * len(rows), pa.timestamp("us", "UTC")),
            "late": pa.array(late, pa.float64()),
        }
    )


def test_gives_features_in_the_plans_order_and_none_for_the_missing(store: OnlineStore) -> None:
    assert store.write(CARRIERS, carriers(("UA", NOON, 0.5, "EWR"), ("AA", NOON, None, None))) == 2
    assert read(store, CARRIERS, ("AA",), ("XX",), ("UA",), ("UA",)) == [
        (None, None), None, (0.5, "EWR"), (0.5, "EWR"),
    ]  # fmt: skip
    assert read(store, CARRIERS, ("UA",)) == [(0.5, "EWR")]
    assert read(store, CARRIERS) == []


def test_a_row_comes_with_its_event_time_whatever_its_age(store: OnlineStore) -> None:
    before = datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
    store.write(CARRIERS, carriers(("UA", NOON, 0.5, "EWR"), ("AA", before, 0.1, None)))
    [[ua, aa]] = store.read([(CARRIERS, [("UA",), ("AA",)])])
    assert (ua, aa) == ((NOON_US, (0.5, "EWR")), (-1, (0.1, None)))


def test_one_read_answers_for_several_views(store: OnlineStore) -> None:
    unknown = replace(ROUTES, name="unknown", table="features.unknown_v1")
    store.write(CARRIERS, carriers(("UA", NOON, 0.5, "EWR")))
    store.write(ROUTES, routes(("EWR", 7, 0.7)))
    found = store.read(
        [(ROUTES, [("EWR", 7), ("EWR", 9)]), (unknown, [("a", 1)]), (CARRIERS, [("UA",)]),
         (ROUTES, [])]
    )  # fmt: skip
    assert [list(rows) for rows in found] == [
        [(NOON_US, (0.7,)), None], [None], [(NOON_US, (0.5, "EWR"))], [],
    ]  # fmt: skip


def test_a_view_never_written_has_nothing(store: OnlineStore) -> None:
    assert read(store, CARRIERS, ("UA",), ("AA",)) == [None, None]
    assert store.mark(CARRIERS) is None
    assert store.remove(CARRIERS, [("UA",)]) == 0


def test_versions_do_not_see_each_other(store: OnlineStore) -> None:
    later = replace(CARRIERS, version=2, table="features.carriers_v2")
    store.write(CARRIERS, carriers(("UA", NOON, 0.5, "EWR")), mark=marked(1))
    store.write(later, carriers(("UA", NOON, 0.7, "JFK")), mark=marked(2))
    assert read(store, CARRIERS, ("UA",)) == [(0.5, "EWR")]
    assert read(store, later, ("UA",)) == [(0.7, "JFK")]
    assert (store.mark(CARRIERS), store.mark(later)) == (marked(1), marked(2))


def test_an_older_row_never_overwrites_a_newer_one(store: OnlineStore) -> None:
    store.write(CARRIERS, carriers(("UA", NOON, 0.5, "new")))
    assert store.write(CARRIERS, carriers(("UA", NOON - timedelta(seconds=1), 0.1, "old"))) == 0
    assert read(store, CARRIERS, ("UA",)) == [(0.5, "new")]
    assert store.write(CARRIERS, carriers(("UA", NOON, 0.6, "corrected"))) == 1
    assert read(store, CARRIERS, ("UA",)) == [(0.6, "corrected")]


def test_composite_entities_with_whole_numbers_as_json_gives_them(store: OnlineStore) -> None:
    rows = routes(("EWR", 7, 0.7), ("EWR", 8, 0.8), (None, 9, 0.9))
    assert store.write(ROUTES, rows) == 2, "a row without an entity can never be asked for"
    asked = [("EWR", 7), ("EWR", 8.0), ("JFK", 7), (None, 9), ("EWR", 7.5)]
    assert read(store, ROUTES, *asked) == [(0.7,), (0.8,), None, None, None]
    assert read(store, ROUTES, ("EWR", 7.0)) == [(0.7,)]


def test_a_removed_row_is_gone_and_may_come_again(store: OnlineStore) -> None:
    store.write(CARRIERS, carriers(("UA", NOON, 0.5, "EWR"), ("AA", NOON, 0.1, None)))
    assert store.remove(CARRIERS, [("UA",), ("XX",)]) == 1
    assert read(store, CARRIERS, ("UA",), ("AA",)) == [None, (0.1, None)]
    assert store.write(CARRIERS, carriers(("UA", NOON - timedelta(days=1), 0.2, None))) == 1
    assert read(store, CARRIERS, ("UA",)) == [(0.2, None)]


def test_a_mark_is_never_there_before_its_rows(store: OnlineStore) -> None:
    seventeen = Materialized(snapshot=17, at=NOON, newest=NOON - timedelta(microseconds=1))
    store.write(CARRIERS, carriers(("UA", NOON, 0.5, "EWR")), mark=seventeen)
    assert store.mark(CARRIERS) == seventeen
    store.write(CARRIERS, carriers(), mark=marked(18))
    assert store.mark(CARRIERS) == marked(18)
    store.write(CARRIERS, carriers(("AA", NOON, 0.5, "EWR")))
    assert store.mark(CARRIERS) == marked(18)
    with pytest.raises(KeyError):
        store.write(CARRIERS, carriers(("UA", NOON, 0.9, "JFK")).drop(["late"]), mark=marked(19))
    assert store.mark(CARRIERS) == marked(18)
    assert read(store, CARRIERS, ("UA",)) == [(0.5, "EWR")]


def test_a_first_write_that_fails_leaves_nothing(store: OnlineStore) -> None:
    with pytest.raises(KeyError):
        store.write(CARRIERS, carriers(("UA", NOON, 0.9, "JFK")).drop(["late"]), mark=marked(1))
    store.write(ROUTES, routes(("EWR", 7, 0.7)))
    assert read(store, CARRIERS, ("UA",)) == [None]
    store.write(CARRIERS, carriers(("UA", NOON, 0.5, "EWR")))
    assert read(store, CARRIERS, ("UA",)) == [(0.5, "EWR")]
    assert read(store, ROUTES, ("EWR", 7)) == [(0.7,)]


def test_what_was_written_is_there_when_the_store_is_opened_again(opened: Open) -> None:
    first, second = opened(), opened()
    assert read(second, CARRIERS, ("UA",)) == [None]
    first.write(CARRIERS, carriers(("UA", NOON, 0.5, "EWR")), mark=marked(1))
    first.close()
    assert read(second, CARRIERS, ("UA",)) == [(0.5, "EWR")]
    assert second.mark(CARRIERS) == marked(1)


def test_more_entities_than_one_query_takes(store: OnlineStore) -> None:
    count = 25_000
    store.write(CARRIERS, carriers(*((f"c{i}", NOON, float(i), None) for i in range(count))))
    answers = read(store, CARRIERS, *((f"c{i}",) for i in range(count + 1)))
    assert answers == [(float(i), None) for i in range(count)] + [None]
    assert store.remove(CARRIERS, [(f"c{i}",) for i in range(count)]) == count


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
)
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_the_newest_row_wins_whatever_the_order(
    store: OnlineStore, writes: list[list[tuple[str | None, int, float | None]]]
) -> None:
    version = next(_versions)
    view = replace(CARRIERS, version=version, table=f"features.carriers_v{version}")
    newest: dict[str, tuple[int, float | None]] = {}
    for rows in writes:
        moments = ((n, NOON + timedelta(seconds=t), v, None) for n, t, v in rows)
        store.write(view, carriers(*moments))
        for name, time, value in rows:
            if name is not None and (name not in newest or time >= newest[name][0]):
                newest[name] = (time, value)
    expected: list[OnlineRow | None] = [
        (NOON_US + newest[n][0] * 1_000_000, (newest[n][1], None)) if n in newest else None
        for n in "abc"
    ]
    [found] = store.read([(view, [(n,) for n in "abc"])])
    assert list(found) == expected


_versions = count(10)
