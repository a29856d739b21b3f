"""Incremental builds: what is rebuilt, when everything is, and that the result is the same."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import ibis
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from ibis import _

import onward as ow
from onward.core.clock import ReplayClock
from onward.core.errors import DataError, DeclarationError
from onward.core.records import Batch, DatasetRef
from onward.infra.lake.iceberg import IcebergLake, open_lake
from onward.stages.transform.step import build, resolve
from onward.stages.validate.step import audit

CLOCK = ReplayClock(datetime(2026, 5, 1, tzinfo=UTC))
SCHEMA = pa.schema([("day", pa.date32()), ("customer", pa.string()), ("amount", pa.int64())])
ONE, TWO, THREE = date(2026, 1, 1), date(2026, 1, 2), date(2026, 1, 3)
Row = tuple[date | None, str, int]


def rows(*given: Row) -> pa.Table:
    columns = zip(*given, strict=True) if given else [[], [], []]
    return pa.table([pa.array(c, f.type) for c, f in zip(columns, SCHEMA, strict=True)], SCHEMA)


class Shop:
    """A lake with orders and people, and builds of one transform."""

    def __init__(self, folder: Path) -> None:
        self.lake: IcebergLake = open_lake(folder / "lake")
        self.folder = folder
        self.runs = 0
        people = pa.table({"customer": ["ann", "bob"], "country": ["NL", "PL"]})
        self.lake.append("raw.people", people, key="people")

    def add(self, *given: Row) -> None:
        self.runs += 1
        self.lake.append("raw.orders", rows(*given), key=f"add-{self.runs}")

    def put(self, mode: str, *given: Row) -> None:
        head = self.lake.head("raw.orders")
        wanted: dict[str, Any] = {"branch": "b", "mode": mode, "summary": {}, "key": ["day"]}
        self.lake.stage("raw.orders", rows(*given), **wanted)
        self.lake.publish("raw.orders", "b", expect=head and head.id)

    def inputs(self, transform: Any) -> dict[str, DatasetRef]:
        return {name: self.lake.dataset(f"raw.{name}") for name in transform.inputs}

    def build(self, transform: Any, **how: Any) -> Batch | None:
        self.runs += 1
        inputs = self.inputs(transform)
        batch = build(
            transform, lake=self.lake, inputs=inputs, folder=self.folder, run=f"r{self.runs}", **how
        )
        if batch is not None:
            audit(batch, transform.checks, lake=self.lake, clock=CLOCK)
        return batch

    def stored(self, transform: Any) -> Counter[Any]:
        return Counter(tuple(r.values()) for r in self.lake.read(transform.table).to_pylist())

    def full(self, transform: Any) -> Counter[Any]:
        """What the function gives for all rows at once, past the code under test."""
        tables = [ibis.memtable(self.lake.read(f"raw.{name}")) for name in transform.inputs]
        found = transform.function(*tables).to_pyarrow().to_pylist()
        return Counter(tuple(row.values()) for row in found)


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    shop = Shop(tmp_path)
    shop.add((ONE, "ann", 1), (TWO, "bob", 2), (TWO, "ann", 3))
    return shop


@ow.transform(incremental=ow.by_partition("day"))
def daily(orders):
    return orders.group_by("day").aggregate(amount=_.amount.sum(), orders=_.count())


@ow.transform(incremental=ow.by_delta("orders"))
def dear(orders, people):
    return orders.filter(_.amount > 1).inner_join(people, "customer").select("day", "country")


def built(batch: Batch | None) -> tuple[Any, ...]:
    assert batch is not None
    values = batch.partitions.values if batch.partitions else None
    return (batch.mode, batch.rows, values)


# ------------------------------------------------------------ by partition


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


# ------------------------------------------------------------ by delta


def test_only_new_rows_are_transformed_and_added(shop: Shop) -> None:
    assert built(shop.build(dear)) == ("replace", 2, None)
    shop.add((THREE, "ann", 5), (THREE, "bob", 0))
    assert built(shop.build(dear)) == ("append", 1, None)
    assert shop.stored(dear) == Counter({(TWO, "PL"): 1, (TWO, "NL"): 1, (THREE, "NL"): 1})


def test_everything_is_rebuilt_where_rows_changed_or_another_input_did(shop: Shop) -> None:
    shop.build(dear)
    shop.put("upsert", (ONE, "ann", 7))
    assert built(shop.build(dear))[0] == "replace"
    shop.lake.append("raw.people", pa.table({"customer": ["cid"], "country": ["FR"]}), key="cid")
    assert built(shop.build(dear))[0] == "replace"
    assert shop.stored(dear) == shop.full(dear)


def test_new_code_a_new_column_or_a_wish_rebuild_everything(shop: Shop) -> None:
    @ow.transform(incremental=ow.by_delta())
    def same(orders):
        return orders

    shop.build(same)
    shop.lake.append("raw.orders", rows((THREE, "b", 1)).append_column("n", [[1]]), key="n")
    assert built(shop.build(same))[:2] == ("replace", 4)
    assert built(shop.build(same, afresh=True))[0] == "replace"
    same = ow.transform(incremental=ow.by_delta())(other_code())
    newer = rows((THREE, "b", 5)).append_column("n", [[1]])
    shop.lake.append("raw.orders", newer, key="newer")
    assert built(shop.build(same))[:2] == ("replace", 3)


def other_code() -> Any:
    def same(orders):
        return orders.filter(_.amount > 1)

    return same


def test_compacted_files_are_no_new_rows(shop: Shop) -> None:
    shop.build(dear)
    shop.build(daily)
    shop.add((THREE, "ann", 5))
    shop.lake.compact("raw.orders", every=1)
    assert built(shop.build(dear)) == ("append", 1, None)
    assert built(shop.build(daily)) == ("partitions", 1, (THREE,))
    shop.add((THREE, "ann", 6))
    shop.lake.compact("raw.orders", every=1)
    shop.build(dear)
    shop.add((THREE, "cid", 6))
    shop.lake.compact("raw.orders", every=1)
    assert built(shop.build(dear)) == ("append", 0, None)


def test_a_held_batch_is_built_again_with_what_came_after(shop: Shop) -> None:
    @ow.transform(incremental=ow.by_delta(), checks=[ow.batch_check("enough", _.count() > 1)])
    def checked(orders):
        return orders

    shop.build(checked)
    shop.add((THREE, "ann", 5))
    assert built(shop.build(checked)) == ("append", 1, None)
    assert len(shop.lake.read(checked.table)) == 3
    shop.add((THREE, "bob", 6))
    assert built(shop.build(checked)) == ("append", 2, None)
    assert len(shop.lake.read(checked.table)) == 5


@pytest.mark.parametrize(
    ("query", "what"),
    [
        ("select day, count(*) as n from orders group by day", "GROUP BY"),
        ("select sum(amount) as n from orders", "an aggregate"),
        ("select distinct day from orders", "DISTINCT"),
        ("select * from orders limit 3", "LIMIT"),
        ("select *, row_number() over () as n from orders", "a window"),
        ("with o as (select * from orders) select max(day) as m from o", "an aggregate"),
        ("select a.* from orders a join orders b using (day)", "a join with itself"),
        ("select * from people where customer in (select customer from orders)", "a subquery"),
        ("select people.* from people left join orders using (customer)", "a LEFT JOIN"),
        ("select people.* from people anti join orders using (customer)", "an? ANTI JOIN"),
        ("select orders.* from orders right join people using (customer)", "a RIGHT JOIN"),
        ("select customer from orders union all select customer from people", "UNION"),
        ("select customer from orders except all select customer from people", "EXCEPT"),
    ],
)
def test_what_needs_all_rows_at_once_is_not_built_by_delta(
    shop: Shop, query: str, what: str
) -> None:
    (shop.folder / "q.sql").write_text(query)
    declared = ow.sql_transform("q", "q.sql", incremental=ow.by_delta("orders"))
    transform = resolve(declared, folder=shop.folder, known=["orders", "people"])
    with pytest.raises(
        DeclarationError, match=f"needs all rows of 'orders' at once: it has {what}"
    ):
        shop.build(transform)


@pytest.mark.parametrize(
    "query",
    [
        "select day, amount * 2 as twice from orders where amount > 1",
        "select o.* from orders o left join people using (customer)",
        "select o.* from orders o semi join people using (customer)",
        "select o.*, (select count(*) from people) as n from orders o",
        "select o.* from (select max(country) as c from people) p join orders o on c > customer",
        "select customer from orders union all select upper(customer) from orders",
    ],
)
def test_what_works_row_by_row_is(shop: Shop, query: str) -> None:
    (shop.folder / "q.sql").write_text(query)
    declared = ow.sql_transform("q", "q.sql", incremental=ow.by_delta("orders"))
    shop.build(resolve(declared, folder=shop.folder, known=["orders", "people"]))


def test_an_aggregate_in_ibis_is_refused_too(shop: Shop) -> None:
    @ow.transform(incremental=ow.by_delta())
    def above(orders):
        return orders.filter(_.amount > _.amount.mean())

    with pytest.raises(DeclarationError, match="needs all rows of 'orders' at once"):
        shop.build(above)


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
    max_examples=8,
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
