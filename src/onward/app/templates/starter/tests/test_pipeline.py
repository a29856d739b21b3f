"""The pipeline's functions are plain functions: small tables in, small tables out."""

import ibis
import pandas as pd
import pipeline
import pytest


def test_a_basket_is_priced_after_its_discount():
    features = pipeline.basket.function(
        category=pd.Series(["shoes", "books"]),
        price=pd.Series([80.0, 10.0]),
        quantity=pd.Series([2, 1]),
        discount=pd.Series([0.5, 0.0]),
        ordered_at=pd.to_datetime(pd.Series(["2025-03-01T23:10:00Z", "2025-03-01T12:00:00Z"])),
    )
    assert list(features["total"]) == [80.0, 10.0]
    assert list(features["late_hour"]) == [True, False]


def test_a_customers_history_grows_with_every_settled_order():
    orders = ibis.memtable(
        {
            "customer_id": ["C1", "C1", "C2"],
            "settled_at": pd.to_datetime(["2025-01-09", "2025-02-03", "2025-01-20"]),
            "price": [20.0, 40.0, 10.0],
            "quantity": [1, 1, 3],
            "returned": [True, False, False],
        }
    )
    history = pipeline.customer_history.function(orders).to_pandas()
    first, second = history[history.customer_id == "C1"].sort_values("available_at").itertuples()
    assert (first.orders_settled, second.orders_settled) == (1, 2)
    assert (first.mean_order, second.mean_order) == (20.0, 30.0)
    assert first.return_rate == pytest.approx(1.6 / 3)
    assert second.return_rate == pytest.approx(1.6 / 4)


def test_an_order_of_an_unknown_customer_is_no_purchase():
    orders = ibis.memtable(
        {
            "customer_id": ["C1", "C9"],
            "ordered_at": pd.to_datetime(["2025-01-11", "2025-01-11"]),
        }
    )
    customers = ibis.memtable(
        {
            "customer_id": ["C1"],
            "country": ["NL"],
            "channel": ["friend"],
            "joined_at": pd.to_datetime(["2025-01-01"]),
        }
    )
    (purchase,) = pipeline.purchases.function(orders, customers).to_pandas().itertuples()
    assert (purchase.customer_id, purchase.country, purchase.days_known) == ("C1", "NL", 10)
