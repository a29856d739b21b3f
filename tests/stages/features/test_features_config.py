from datetime import timedelta

import pytest

import onward as ow
from onward.core.errors import DeclarationError


@ow.feature_view(entity="customer", ttl="30d")
def habits(orders):
    return scaled(orders)


@ow.on_demand
def basket(amount, items):
    return {"price": amount / items}


@ow.label(key="order_id", event_time="ordered_at", available_at="recorded_at")
def returned(orders):
    return orders


def scaled(table):
    return table.mutate(amount=table.amount * FACTOR)


FACTOR = 2


def test_a_view_is_named_by_its_function_and_reads_its_parameters():
    assert (habits.name, habits.inputs, habits.entity) == ("habits", ("orders",), ("customer",))
    assert habits.ttl == timedelta(days=30)
    assert str(habits.location) == f"{__file__}:{habits.function.__code__.co_firstlineno}"


def test_an_on_demand_function_reads_request_columns():
    assert (basket.name, basket.inputs) == ("basket", ("amount", "items"))


def test_a_label_knows_its_key_and_its_times():
    assert (returned.name, returned.key, returned.inputs) == (
        "returned",
        ("order_id",),
        ("orders",),
    )
    assert (returned.event_time, returned.available_at) == ("ordered_at", "recorded_at")


def test_entities_and_keys_may_have_several_columns():
    def route(flights): ...

    assert ow.feature_view(entity=["origin", "dest"])(route).entity == ("origin", "dest")
    label = ow.label(key=["a", "b"], event_time="t", available_at="t")(route)
    assert label.key == ("a", "b")


def test_a_digest_follows_helpers_that_stand_below(monkeypatch):
    before = habits.digest
    assert habits.digest == before
    monkeypatch.setitem(globals(), "FACTOR", 3)
    assert habits.digest != before


@pytest.mark.parametrize(
    "changed", [{"entity": "account"}, {"ttl": "60d"}, {"ttl": None}, {"entity": ["customer", "x"]}]
)
def test_a_views_digest_counts_what_it_declares(changed):
    given = {"entity": "customer", "ttl": "30d"} | changed
    assert ow.feature_view(**given)(habits.function).digest != habits.digest


@pytest.mark.parametrize("changed", [{"key": "id"}, {"event_time": "t"}, {"available_at": "t"}])
def test_a_labels_digest_counts_what_it_declares(changed):
    given = {"key": "order_id", "event_time": "ordered_at", "available_at": "recorded_at"} | changed
    assert ow.label(**given)(returned.function).digest != returned.digest


def nothing(): ...


def Capital(orders): ...


def fine(orders): ...


@pytest.mark.parametrize(
    ("decorator", "body", "words"),
    [
        (ow.on_demand, nothing, "reads nothing"),
        (ow.on_demand, Capital, "cannot name an on-demand function"),
        (ow.feature_view(entity="x"), nothing, "reads nothing"),
        (ow.feature_view(entity="x"), Capital, "cannot name a feature view"),
        (ow.feature_view(entity=[]), fine, "has no entity"),
        (ow.feature_view(entity=""), fine, "has no entity"),
        (ow.feature_view(entity="x", ttl="a month"), fine, "is not a duration"),
        (ow.label(key=(), event_time="t", available_at="t"), fine, "has no key"),
        (ow.label(key="k", event_time="t", available_at="t"), nothing, "reads nothing"),
        (ow.label(key="k", event_time="t", available_at="t"), Capital, "cannot name a label"),
    ],
)
def test_a_wrong_declaration_is_refused_where_its_function_stands(decorator, body, words):
    with pytest.raises(DeclarationError, match=words) as refused:
        decorator(body)
    assert str(refused.value.location) == f"{__file__}:{body.__code__.co_firstlineno}"
    assert refused.value.expected
