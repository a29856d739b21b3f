"""`ow.given`: types of what is given, what is compared, and how a difference is told."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import ibis
import pyarrow as pa
import pytest
from ibis import _

import onward as ow
from onward.app.load import load_definition
from onward.app.project import open_project
from onward.core.errors import DataError, DeclarationError, NotFoundError
from onward.flow.run.runs import request

AT = datetime(2026, 1, 1, 12, tzinfo=UTC)

orders = ow.Source("orders", ow.files("*.csv"), key=["id"], event_time="ordered_at")


@ow.transform
def sold(orders):
    return orders.filter(_.items > 0).select("id", "ordered_at", total=_.price * _.items)


@ow.transform
def days(orders):
    return orders.select("id", day=_.ordered_at.date())


@ow.transform(engine="arrow")
def cut(orders):
    return orders.slice(0, 1)


@ow.feature_view(entity="customer")
def habits(sold):
    return sold.group_by("customer", available_at=_.ordered_at).aggregate(spent=_.total.sum())


@ow.label(key="id", event_time="ordered_at", available_at="ordered_at")
def dear(sold):
    return sold.select("id", "ordered_at", dear=_.total > 100)


@ow.on_demand
def basket(price, items, ordered_at):
    return {"price_each": price / items, "hour": ordered_at.dt.hour}


ORDERS = [
    {"id": "a", "ordered_at": "2026-01-01T12:00:00Z", "price": 2.5, "items": 2},
    {"id": "b", "ordered_at": "2026-01-02", "price": 4, "items": 0},
    {"id": "c", "ordered_at": AT, "price": 4.0, "items": 1},
]


def test_rows_go_through_each_kind_of_declaration() -> None:
    given = ow.given(orders=ORDERS)
    given.expect(sold, [{"id": "c", "total": 4}, {"id": "a", "total": 5.0}])
    given.expect(cut, [{"id": "a"}])
    spent = {"customer": "x", "ordered_at": AT, "total": 120.0, "id": 1}
    ow.given(sold=[spent]).expect(habits, [{"customer": "x", "spent": 120.0, "available_at": AT}])
    ow.given(sold=[spent]).expect(dear, [{"id": 1, "dear": True}])
    ow.given(request=ORDERS[:1]).expect(basket, [{"price_each": 1.25, "hour": 12}])


def test_a_sql_file_is_given_what_it_reads(tmp_path: Path) -> None:
    (tmp_path / "t.sql").write_text("select id, price * items as total from {{ ref('orders') }}")
    file = tmp_path / "declares_sql.py"
    file.write_text("import onward as ow\n\nfound = ow.sql_transform('found', 't.sql')\n")
    scope: dict[str, Any] = {}
    exec(compile(file.read_text(), str(file), "exec"), scope)
    ow.given(orders=ORDERS[:1]).expect(scope["found"], [{"id": "a", "total": 5.0}])


@pytest.mark.parametrize(
    "expected",
    [
        {"ordered_at": AT},
        {"ordered_at": AT.replace(tzinfo=None)},
        {"ordered_at": "2026-01-01T13:00:00+01:00"},
        {"ordered_at": "2026-01-01 12:00"},
        {"total": pytest.approx(5.1, abs=0.2)},
        {"total": 5 + 1e-12},
    ],
)
def test_values_that_are_equal(expected: dict[str, Any]) -> None:
    ow.given(orders=ORDERS[:1]).expect(sold, [expected])


def test_dates_nan_and_nested_values() -> None:
    ow.given(orders=ORDERS[:1]).expect(days, [{"day": "2026-01-01"}])
    ow.given(orders=ORDERS[:1]).expect(days, [{"day": date(2026, 1, 1)}])

    @ow.transform
    def nested(orders):
        return orders.select(
            many=ibis.array([_.price, _.price]),
            one=ibis.struct({"p": _.price}),
            nan=ibis.literal(float("nan")),
        )

    expected = {"many": [2.5, 2.5], "one": {"p": 2.5}, "nan": float("nan")}
    ow.given(orders=ORDERS[:1]).expect(nested, [expected])
    for wrong in ({"many": [2.5]}, {"one": {"p": 3}}, {"nan": None}):
        with pytest.raises(AssertionError):
            ow.given(orders=ORDERS[:1]).expect(nested, [{**expected, **wrong}])


def said(expected: list[dict[str, Any]], *, ordered: bool = False) -> str:
    with pytest.raises(AssertionError) as no:
        ow.given(orders=ORDERS).expect(sold, expected, ordered=ordered)
    return str(no.value)


def test_a_difference_is_told_in_its_column() -> None:
    assert said([{"id": "a", "total": 6}, {"id": "c", "total": 4}]) == (
        "sold gives other rows than expected:\n  row id='a'\n    total: expected 6, found 5.0"
    )
    assert said([{"id": "a"}]) == ("sold gives 2 rows where 1 are expected:\n  unexpected  id='c'")
    assert said([{"id": "a"}, {"id": "c"}, {"id": "d"}]).endswith("missing     id='d'")
    assert "ordered_at=2026-01-01T12:00:00+00:00" in said([
        {"ordered_at": AT}
    ])  # fmt: skip
    assert said([{"totl": 5}]) == (
        "sold gives no column 'totl'; did you mean 'total'? It gives id, ordered_at, total"
    )
    assert "id: expected 'x', found 'a'" in said([{"id": "x"}, {"id": "c"}], ordered=True)


def test_the_order_counts_only_when_asked() -> None:
    rows = [{"id": "c"}, {"id": "a"}]
    ow.given(orders=ORDERS).expect(sold, rows)
    ow.given(orders=ORDERS).expect(sold, rows[::-1], ordered=True)
    with pytest.raises(AssertionError):
        ow.given(orders=ORDERS).expect(sold, rows, ordered=True)
    with pytest.raises(AssertionError, match="missing     id='d'"):
        ow.given(orders=ORDERS).expect(sold, [*rows[::-1], {"id": "d"}], ordered=True)


def test_a_sum_of_whole_numbers_is_one() -> None:
    @ow.transform
    def items(orders):
        return orders.aggregate(items=_.items.sum(), any=(_.items > 1).sum())

    ow.given(orders=ORDERS).expect(items, [{"items": 3, "any": 1}])


def test_no_rows_may_be_expected() -> None:
    ow.given(orders=ORDERS[1:2]).expect(sold, [])
    with pytest.raises(AssertionError, match="2 rows where 0 are expected"):
        ow.given(orders=ORDERS).expect(sold, [])


def test_what_is_arrow_is_given_as_it_is() -> None:
    table = pa.table({"id": ["a"], "ordered_at": [AT], "price": [2.0], "items": [3]})
    assert ow.given(orders=table).rows(sold)[0]["total"] == 6.0


@pytest.mark.parametrize(
    ("given", "declared", "error", "message"),
    [
        ({"ordrs": []}, sold, NotFoundError, "(?s)no input 'ordrs'.*did you mean 'orders'"),
        ({}, sold, NotFoundError, r"(?s)'orders' is read, but not given.*given\(orders="),
        ({"orders": [{"id": 1}, {"id": "x"}]}, sold, DataError, "orders.id cannot be read"),
        ({"orders": [{"ordered_at": "soon"}]}, sold, DataError, "orders.ordered_at cannot be read"),
        ({"request": [{"price": 1.0}]}, basket, DeclarationError, "reads items, ordered_at"),
        ({"orders": []}, orders, DeclarationError, "cannot be run on rows"),
        ({"orders": [{"id": 1}]}, sold, DeclarationError, "'sold' raised"),
    ],
)
def test_what_cannot_be_given(
    given: dict[str, Any], declared: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        ow.given(**given).rows(declared)


@pytest.fixture
def published(shop: Path) -> Iterator[ModuleType]:
    with open_project(shop) as project:
        project.deliver(request(project.site, "data only", train=False))
        load_definition(shop / "pipeline.py")
    module = sys.modules["pipeline"]
    yield module
    del sys.modules["pipeline"]


def test_columns_left_out_have_the_published_type(published: ModuleType) -> None:
    given = ow.given(orders=[{"items": 1, "recorded_at": "2026-01-02"}])
    [row] = given.rows(published.sold)
    assert row["recorded_at"] == datetime(2026, 1, 2, tzinfo=UTC)
    assert set(row) >= {"order_id", "amount", "returned"}
    assert row["amount"] is None
    ow.given().expect(published.sold, [])
    with pytest.raises(DataError, match=r"(?s)orders\.amount cannot be read.*double can hold"):
        ow.given(orders=[{"amount": "much"}]).rows(published.sold)
