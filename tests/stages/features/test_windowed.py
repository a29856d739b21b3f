"""Windowed aggregations against a brute-force oracle, whole and bit by bit."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import pyarrow as pa
import pytest
from flight_shop import DAY, START, TIME, Shop
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import onward as ow
from onward.core.errors import DataError, DeclarationError
from onward.core.fingerprint import of_function
from onward.infra.lake.iceberg import open_lake
from onward.infra.online.sqlite import open_store
from onward.stages.features import incremental
from onward.stages.features.config import FeatureView
from onward.stages.features.windows import Windows
from onward.stages.features.windows_query import query

source = ow.Source(
    "flights", ow.files("x.csv"), key=["carrier"], event_time="at", available_at="known"
)
FEATURES = [
    ow.window.count(over="2d"),
    ow.window.sum("delay", over="1d"),
    ow.window.mean("delay", over="3d"),
    ow.window.min("delay", over="2d"),
    ow.window.max("delay", over="2d"),
    ow.window.std("delay", over="3d"),
    ow.window.quantile("delay", 0.9, over="3d"),
    ow.window.distinct("delay", over="2d"),
    ow.window.last("delay", over="3d", name="latest"),
]


def view(every: str | None = None) -> FeatureView:
    return ow.windowed_view("recent", source, entity="carrier", features=FEATURES, every=every)


class Row(NamedTuple):
    carrier: str
    at: int
    known: int
    delay: float | None


def table(rows: Iterable[Row]) -> pa.Table:
    """Times are in half days, so that windows end on moments and between them."""
    given = list(rows)
    return pa.table(
        {
            "carrier": pa.array([r.carrier for r in given], pa.string()),
            "at": pa.array([moment(r.at) for r in given], TIME),
            "known": pa.array([moment(r.known) for r in given], TIME),
            "delay": pa.array([r.delay for r in given], pa.float64()),
        }
    )


def moment(half_days: int) -> datetime:
    return START + half_days * DAY / 2


rows_of_flights = st.lists(
    st.builds(
        lambda carrier, at, lag, delay: Row(carrier, at, at + lag, delay),
        st.sampled_from(["UA", "AA"]),
        st.integers(-6, 12),
        st.sampled_from([0, 0, 0, 1, 2, 9]),
        st.sampled_from([None, 0.0, 1.0, 2.5, -4.0, 100.0]),
    ),
    max_size=10,
)
grids = st.sampled_from([None, "1d", "5h"])


def oracle(rows: Sequence[Row], carrier: str, tick: datetime, by: datetime) -> tuple[Any, ...]:
    """What the features are at `tick`, by what is known at `by`; straight from the definition."""

    def within(days: int) -> list[Row]:
        return [
            r
            for r in rows
            if r.carrier == carrier
            and tick - days * DAY < moment(r.at) <= tick
            and moment(r.known) <= by
        ]

    def values(days: int) -> list[float]:
        return sorted(r.delay for r in within(days) if r.delay is not None)

    one, two, three = values(1), values(2), values(3)
    newest = max(
        ((r.at, r.known, r.delay) for r in within(3) if r.delay is not None), default=(0, 0, None)
    )
    return (
        len(within(2)),
        sum(one) if one else None,
        statistics.fmean(three) if three else None,
        min(two, default=None),
        max(two, default=None),
        statistics.stdev(three) if len(three) > 1 else None,
        quantile(three, 0.9),
        len(set(two)),
        newest[2],
    )


def quantile(values: Sequence[float], q: float) -> float | None:
    if not values:
        return None
    place = q * (len(values) - 1)
    low = math.floor(place)
    high = min(low + 1, len(values) - 1)
    return values[low] + (place - low) * (values[high] - values[low])


def equal(found: Sequence[Any], wanted: Sequence[Any]) -> bool:
    return all(
        (a is None) == (b is None) and (a is None or math.isclose(a, b, abs_tol=1e-9))
        for a, b in zip(found, wanted, strict=True)
    )


EMPTY = (0, None, None, None, None, None, None, 0, None)


def evaluated(rows: Sequence[Row], every: str | None) -> list[tuple[Any, ...]]:
    windows = view(every).function.__closure__
    [declared] = [c.cell_contents for c in windows if isinstance(c.cell_contents, Windows)]
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("flights", table(rows))
        return connection.execute(query(declared, "flights")).to_arrow_table().to_pylist()


@settings(max_examples=60, deadline=None)
@given(rows_of_flights, grids)
def test_what_is_joined_is_what_was_known_then(rows: list[Row], every: str | None) -> None:
    """At any moment the newest known row says what the definition says of what was known."""
    found = evaluated(rows, every)
    stands = [(r["carrier"], r["event_time"], r["available_at"]) for r in found]
    assert len(stands) == len(set(stands))
    for carrier in ("UA", "AA"):
        for half in range(-8, 24):
            now = moment(half) + timedelta(minutes=7)
            usable = [
                r
                for r in found
                if r["carrier"] == carrier and max(r["event_time"], r["available_at"]) <= now
            ]
            newest = max(usable, key=lambda r: (r["event_time"], r["available_at"]), default=None)
            joined = EMPTY if newest is None else tuple(newest.values())[3:]
            tick = now if every is None else floor(now, {"1d": DAY, "5h": DAY / 24 * 5}[every])
            assert equal(joined, oracle(rows, carrier, tick, now)), (carrier, now, joined)


def floor(when: datetime, step: timedelta) -> datetime:
    since = when - datetime(1970, 1, 1, tzinfo=when.tzinfo)
    return when - since % step


@settings(max_examples=12, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(rows_of_flights, grids, st.lists(st.integers(0, 21), max_size=3))
def test_bit_by_bit_gives_the_same_rows_as_at_once(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Row], every: str | None, cuts: list[int]
) -> None:
    """Rows that arrive when they became known, in any number of batches.

    The shop's clock begins at 0: what became known before arrives with the first batch.
    """
    folder = tmp_path_factory.mktemp("windows")
    bounds = [-99, *sorted(cuts), 99]
    batches = [[r for r in rows if low < r.known <= high] for low, high in pairwise(bounds)]
    by_bits = published(folder / "bits", [*zip(batches, bounds[1:], strict=True)], every)
    at_once = published(folder / "once", [(rows, 99)], every)
    assert len(by_bits) == len(at_once)
    for (*stand, values), (*other, wanted) in zip(by_bits, at_once, strict=True):
        assert stand == other
        assert equal(values, wanted)


def published(
    folder: Path, batches: list[tuple[list[Row], int]], every: str | None
) -> list[list[Any]]:
    """Append each batch and publish at its time, whether or not it has rows."""
    shop = Shop(open_lake(folder / "lake"), open_store(str(folder / "online.db")))
    for n, (batch, at) in enumerate(batches):
        shop.clock.advance(moment(at))
        if batch:
            append(shop, batch, n)
        if shop.lake.head("raw.flights") is not None:
            shop.runs += 1
            shop.again(view(every), {"flights": shop.lake.dataset("raw.flights")})
    shop.online.close()
    if "features.recent_v1" not in shop.lake.tables():
        return []
    found = shop.lake.read("features.recent_v1").drop(["_in_order"]).to_pylist()
    return sorted([*list(r.values())[:3], tuple(r.values())[3:]] for r in found)


def append(shop: Shop, batch: Sequence[Row], n: int) -> None:
    shop.runs += 1
    shop.lake.append("raw.flights", table(batch), key=f"batch-{n}")


def test_only_what_new_rows_touch_is_read(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    whole = Windows.table
    monkeypatch.setattr(
        Windows,
        "table",
        lambda self, t, at: asked.append(t.count().to_pyarrow().as_py()) or whole(self, t, at),
    )
    shop.clock.advance(moment(99))
    append(shop, [Row(c, at, at, 1.0) for c in ("UA", "AA") for at in range(40)], 0)
    shop.again(view(), {"flights": shop.lake.dataset("raw.flights")})
    append(shop, [Row("UA", 41, 41, 5.0)], 1)
    found = shop.again(view(), {"flights": shop.lake.dataset("raw.flights")})
    assert asked == [80, 6], "three days of one carrier, both ends"
    assert found.rows_added == 6, "its arrival, the ends of its windows, and of those it meets"
    assert found.view.version == 1


def test_a_backfill_is_known_when_it_is_published(shop: Shop) -> None:
    shop.clock.advance(moment(20))
    append(shop, [Row("UA", 4, 4, 1.0), Row("UA", 8, 8, 3.0)], 0)
    shop.again(view(), {"flights": shop.lake.dataset("raw.flights")})
    before = {(r["event_time"], r["available_at"]): r for r in stored(shop)}
    shop.clock.advance(moment(30))
    append(shop, [Row("UA", 6, 6, 2.0)], 1)
    shop.again(view(), {"flights": shop.lake.dataset("raw.flights")})
    after = {(r["event_time"], r["available_at"]): r for r in stored(shop)}
    assert before.items() <= after.items(), "what was served stays"
    corrected = after[moment(8), moment(30)]
    assert (before[moment(8), moment(8)]["mean_delay_3d"], corrected["mean_delay_3d"]) == (2.0, 2.0)
    assert (before[moment(8), moment(8)]["count_2d"], corrected["count_2d"]) == (1.0, 2.0)


def stored(shop: Shop) -> list[dict[str, Any]]:
    return shop.lake.read("features.recent_v1").drop(["_in_order"]).to_pylist()


def test_windows_empty_as_time_passes_without_new_rows(shop: Shop) -> None:
    shop.clock.advance(moment(1))
    append(shop, [Row("UA", 0, 0, 1.0), Row("AA", 90, 90, 1.0)], 0)
    inputs = {"flights": shop.lake.dataset("raw.flights")}
    found = shop.again(view("1d"), inputs)
    assert (found.rows_added, shop.served(found, "UA", 0)[0]) == (1, 1.0)
    for half, count, added in ((2, 1.0, 1), (3, 1.0, 0), (4, 0.0, 1), (20, 0.0, 1), (21, 0.0, 0)):
        shop.runs += 1
        shop.clock.advance(moment(half))
        behind = incremental.behind(view("1d"), lake=shop.lake, now=shop.clock.now())
        found = shop.again(view("1d"), inputs)
        assert (found.rows_added, shop.served(found, "UA", 0)[0]) == (added, count), half
        assert behind is (half % 2 == 0)


def test_a_source_that_was_replaced_is_read_whole(shop: Shop) -> None:
    shop.publish(view(), table([Row("UA", 0, 0, 1.0)]), day=60)
    found = shop.publish(view(), table([Row("UA", 0, 0, 1.0), Row("AA", 1, 1, 2.0)]), day=61)
    assert {r["carrier"] for r in stored(shop)} == {"UA", "AA"}
    assert found.view.version == 1


def test_a_window_that_changed_is_another_version() -> None:
    def digest(over: str) -> str:
        features = [ow.window.count(over=over, name="n")]
        return ow.windowed_view("recent", source, entity="carrier", features=features).digest

    assert digest("1d") == digest("24h")
    assert digest("1d") != digest("2d")
    assert of_function(view().function) != of_function(view("1d").function)


def test_names_say_what_is_computed() -> None:
    assert [f.name for f in FEATURES] == [
        "count_2d", "sum_delay_1d", "mean_delay_3d", "min_delay_2d", "max_delay_2d", "std_delay_3d",
        "p90_delay_3d", "distinct_delay_2d", "latest",
    ]  # fmt: skip
    assert ow.window.quantile("delay", 0.999, over="1d 12h").name == "p99_9_delay_1d12h"


@pytest.mark.parametrize(
    ("declare", "said"),
    [
        (lambda: ow.window.quantile("x", 2, over="1d"), "no level"),
        (lambda: ow.window.sum("x", over="soon"), "not a duration"),
        (lambda: ow.windowed_view("v", source, entity="c", features=[]), "no features"),
        (lambda: ow.windowed_view("v", source, entity="c", features=[sum]), "no aggregation"),
        (
            lambda: ow.windowed_view(
                "v", source, entity="c", features=[ow.window.count(over="1d")] * 2
            ),
            "two features 'count_1d'",
        ),
        (lambda: ow.windowed_view("v", "orders", entity="c", features=FEATURES), "reads 'orders'"),
        (lambda: ow.windowed_view("v", source, entity="", features=FEATURES), "no entity"),
    ],
)
def test_a_wrong_declaration_is_refused(declare: Any, said: str) -> None:
    with pytest.raises(DeclarationError, match=said) as caught:
        declare()
    assert caught.value.location.file == __file__


def test_a_transform_says_its_times() -> None:
    @ow.transform
    def late(flights):
        return flights

    with pytest.raises(DeclarationError, match="no event_time"):
        ow.windowed_view("v", late, entity="carrier", features=FEATURES)
    declared = ow.windowed_view(
        "v", late, entity="carrier", features=FEATURES, event_time="at", available_at="known"
    )
    assert declared.inputs == ("late",)


def test_a_column_that_is_not_there_is_named(shop: Shop) -> None:
    wrong = ow.windowed_view(
        "recent", source, entity="carrier", features=[ow.window.sum("delais", over="1d")]
    )
    with pytest.raises(DataError, match="no column 'delais'") as caught:
        shop.publish(wrong, table([Row("UA", 0, 0, 1.0)]), day=1)
    assert "delay" in caught.value.expected
    assert caught.value.location.file == __file__
