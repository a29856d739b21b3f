"""Incremental builds by partition, and that either kind equals a full rebuild."""

from __future__ import annotations

from collections import Counter
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import ibis
import pyarrow as pa
import pytest
from growing_shop import ONE, THREE, TWO, Shop, built, daily, dear
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from ibis import _

import onward as ow
from onward.core.errors import DataError, DeclarationError
from onward.stages.transform.step import resolve


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    shop = Shop(tmp_path)
    shop.add((ONE, "ann", 1), (TWO, "bob", 2), (TWO, "ann", 3))
    return shop


def test_only_partitions_with_new_rows_are_rebuilt(shop: Shop) -> None:
    assert built(shop.build(daily)) == ("replace", 2, None)
    assert shop.build(daily) is None
    shop.add((TWO, "bob", 10), (THREE, "bob", 4))
    mode, count, values = built(shop.build(daily))
    assert (mode, count, set(values)) == ("partitions", 2, {TWO, THREE})
    assert shop.stored(daily) == Counter([(ONE, 1, 1), (TWO, 15, 3), (THREE, 4, 1)])


def test_rows_that_changed_or_went_touch_their_partition(shop: Shop) -> None:
    shop.build(daily)
    shop.put("upsert", (ONE, "ann", 7))
    assert built(shop.build(daily)) == ("partitions", 1, (ONE,))
    shop.put("replace", (ONE, "ann", 7))
    assert built(shop.build(daily)) == ("partitions", 0, (TWO,))
    assert shop.stored(daily) == Counter([(ONE, 7, 1)])


def test_null_is_a_partition(shop: Shop) -> None:
    shop.build(daily)
    shop.add((None, "ann", 5))
    assert built(shop.build(daily)) == ("partitions", 1, (None,))
    shop.add((None, "ann", 6))
    shop.build(daily)
    assert shop.stored(daily) == shop.full(daily)


def test_a_key_may_be_computed_and_other_inputs_rebuild_everything(shop: Shop) -> None:
    @ow.transform(incremental=ow.by_partition("month", orders=_.day.strftime("%Y-%m")))
    def monthly(orders, people):
        month = orders.inner_join(people, "customer").mutate(month=_.day.strftime("%Y-%m"))
        return month.group_by("month", "country").aggregate(amount=_.amount.sum())

    shop.build(monthly)
    shop.add((date(2026, 2, 1), "ann", 4))
    assert built(shop.build(monthly)) == ("partitions", 1, ("2026-02",))
    cid = pa.table({"customer": ["cid"], "country": ["FR"]})
    shop.lake.append("raw.people", cid, key="cid")
    assert built(shop.build(monthly))[0] == "replace"


def test_sql_and_arrow_are_built_by_partition_too(shop: Shop) -> None:
    (shop.folder / "d.sql").write_text("select day, sum(amount) as amount from orders group by day")
    by = ow.by_partition("day")
    sql = resolve(
        ow.sql_transform("d", "d.sql", incremental=by), folder=shop.folder, known=["orders"]
    )

    @ow.transform(engine="arrow", incremental=by)
    def arrow(orders):
        return orders.select(["day", "amount"])

    for transform in (sql, arrow):
        shop.build(transform)
    shop.add((THREE, "ann", 9))
    for transform in (sql, arrow):
        assert built(shop.build(transform)) == ("partitions", 1, (THREE,))
        assert shop.stored(transform)[(THREE, 9)] == 1


def test_a_row_of_another_partition_is_refused(shop: Shop) -> None:
    @ow.transform(incremental=ow.by_partition("day"))
    def moved(orders):
        return orders.mutate(day=_.day + ibis.interval(days=1)).cast({"day": "date"})

    shop.build(moved)
    shop.add((THREE, "ann", 9))
    with pytest.raises(DataError, match="gives a row with day = 2026-01-04"):
        shop.build(moved)


def test_what_a_partition_replaces_is_not_held_against_it(shop: Shop) -> None:
    @ow.transform(incremental=ow.by_partition("day"), checks=[ow.unique("customer", "day")])
    def totals(orders):
        return orders.group_by("day", "customer").aggregate(amount=_.amount.sum())

    shop.build(totals)
    shop.add((TWO, "ann", 4), (None, "ann", 1))
    shop.build(totals)
    shop.add((None, "ann", 1))
    shop.build(totals)
    assert shop.stored(totals) == shop.full(totals)


@ow.transform(incremental=ow.by_partition("dai"))
def no_column(orders):
    return orders


@ow.transform(incremental=ow.by_partition("share"))
def shares(orders):
    return orders.select(share=_.amount / 2)


@pytest.mark.parametrize(
    ("transform", "message"),
    [
        (no_column, "'no_column' gives day, customer, amount.*a column 'dai'"),
        (shares, "column 'share' of transform 'shares' is double"),
    ],
)
def test_a_column_that_partitions_nothing_is_refused(
    shop: Shop, transform: Any, message: str
) -> None:
    with pytest.raises(DeclarationError, match=f"(?s){message}"):
        shop.build(transform)


def test_a_column_of_another_type_than_the_inputs_is_refused(shop: Shop) -> None:
    @ow.transform(incremental=ow.by_partition("day", orders=_.day))
    def texts(orders):
        return orders.mutate(day=_.amount)

    shop.build(texts)
    shop.add((THREE, "ann", 9))
    with pytest.raises(DeclarationError, match=r"(?s)'day' of transform 'texts' is int64.*2026"):
        shop.build(texts)


# ------------------------------------------------------------ declarations


def test_wrong_declarations_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DeclarationError, match="incremental is 'day'"):
        ow.sql_transform("q", "q.sql", incremental="day")

    def both(orders, people):
        return orders

    known = {"folder": tmp_path, "known": ["orders", "people"]}
    with pytest.raises(DeclarationError, match=r"(?s)reads orders, people.*by_delta\('name'\)"):
        resolve(ow.transform(incremental=ow.by_delta())(both), **known)
    for incremental in (ow.by_delta("order"), ow.by_partition("day", order=_.day)):
        with pytest.raises(DeclarationError, match=r"(?s)no input 'order'.*'orders'"):
            resolve(ow.transform(incremental=incremental)(both), **known)


# ------------------------------------------------------------ the property

days = st.sampled_from([None, ONE, TWO, THREE])
some = st.lists(
    st.tuples(days, st.sampled_from(["ann", "bob", "cid"]), st.integers(0, 5)), max_size=5
)
step = st.tuples(st.sampled_from(["add", "add", "add", "upsert", "replace", "compact"]), some)


@settings(
    max_examples=6,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # shrinking takes minutes
)
@given(st.lists(step, min_size=1, max_size=4))
def test_an_incremental_table_is_what_a_full_rebuild_gives(steps: list[Any]) -> None:
    with TemporaryDirectory() as folder:
        shop = Shop(Path(folder))
        shop.add((ONE, "ann", 2))
        for transform in (daily, dear):
            shop.build(transform)
        for what, given_rows in steps:
            if what == "add":
                shop.add(*given_rows)
            elif what == "compact":
                shop.lake.compact("raw.orders", every=1)
            else:
                shop.put(what, *given_rows)
            for transform in (daily, dear):
                shop.build(transform)
                assert shop.stored(transform) == shop.full(transform)
