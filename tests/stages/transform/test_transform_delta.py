"""Incremental builds by delta: what is added, when everything is rebuilt, what is refused."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from growing_shop import ONE, THREE, TWO, Shop, built, daily, dear, rows
from ibis import _

import onward as ow
from onward.core.errors import DeclarationError
from onward.stages.transform.step import resolve


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    shop = Shop(tmp_path)
    shop.add((ONE, "ann", 1), (TWO, "bob", 2), (TWO, "ann", 3))
    return shop


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
