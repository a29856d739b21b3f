"""Each function of the pipeline on a few rows: `onward test` runs these.

A row holds what matters to the test; columns left out are NULL.
"""

import pipeline

import onward as ow


def test_a_basket_is_priced_after_its_discount():
    shoes = {"category": "shoes", "price": 80.0, "quantity": 2, "discount": 0.5}
    books = {"category": "books", "price": 10.0, "quantity": 1, "discount": 0.0}
    ow.given(
        request=[
            {**shoes, "ordered_at": "2025-03-01T23:10:00Z"},
            {**books, "ordered_at": "2025-03-01T12:00:00Z"},
        ]
    ).expect(
        pipeline.basket, [{"total": 80.0, "late_hour": True}, {"total": 10.0, "late_hour": False}]
    )


def test_a_customers_history_grows_with_every_settled_order():
    def order(customer, settled, price, quantity, returned):
        return {
            "customer_id": customer, "settled_at": settled,
            "price": price, "quantity": quantity, "returned": returned,
        }  # fmt: skip

    ow.given(
        orders=[
            order("C1", "2025-01-09", 20.0, 1, True),
            order("C1", "2025-02-03", 40.0, 1, False),
            order("C2", "2025-01-20", 10.0, 3, False),
        ]
    ).expect(
        pipeline.customer_history,
        [
            {"customer_id": "C1", "orders_settled": 1, "mean_order": 20.0, "return_rate": 1.6 / 3},
            {"customer_id": "C1", "orders_settled": 2, "mean_order": 30.0, "return_rate": 1.6 / 4},
            {"customer_id": "C2", "orders_settled": 1, "mean_order": 30.0, "return_rate": 0.2},
        ],
    )


def test_an_order_of_an_unknown_customer_is_no_purchase():
    ow.given(
        orders=[
            {"customer_id": "C1", "ordered_at": "2025-01-11"},
            {"customer_id": "C9", "ordered_at": "2025-01-11"},
        ],
        customers=[
            {"customer_id": "C1", "country": "NL", "channel": "friend", "joined_at": "2025-01-01"}
        ],
    ).expect(pipeline.purchases, [{"customer_id": "C1", "country": "NL", "days_known": 10}])
