import pytest

import onward as ow
from onward.core.errors import DeclarationError


def orders(**changed):
    given = {"key": ["order_id"], "event_time": "ordered_at"} | changed
    origin = given.pop("origin", ow.files("data/orders/*.csv"))
    return ow.Source(given.pop("name", "orders"), origin, **given)


def test_a_source_knows_its_table_and_its_times():
    source = orders()
    assert source.table == "raw.orders"
    assert source.key == ("order_id",)
    assert source.available_at == "ordered_at"
    assert orders(available_at="recorded_at").available_at == "recorded_at"
    assert orders(key="order_id") == source


def test_where_it_is_declared_makes_no_difference():
    first = orders()
    second = orders()
    assert first == second
    assert hash(first) == hash(second)
    assert str(first.location).startswith(__file__)


@pytest.mark.parametrize(
    ("pattern", "format"),
    [
        ("a/*.csv", "csv"),
        ("a/*.csv.gz", "csv"),
        ("a.parquet", "parquet"),
        ("a.json", "json"),
        ("a.jsonl", "json"),
        ("a.ndjson", "json"),
    ],
)
def test_the_format_follows_the_ending(pattern, format):
    assert ow.files(pattern).format == format


def test_a_given_format_goes_before_the_ending():
    assert ow.files("data/*.txt", format="csv").format == "csv"


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"name": "Orders"}, "cannot name a source"),
        ({"origin": "data/*.csv"}, "reads from 'data"),
        ({"key": []}, "has no key"),
        ({"checks": [lambda t: t.x > 0]}, "is no check"),
        ({"types": {"price": "dobule"}}, "no column type 'dobule'"),
    ],
)
def test_a_wrong_source_is_refused_where_it_stands(changed, words):
    with pytest.raises(DeclarationError, match=words) as refused:
        orders(**changed)
    assert refused.value.location.file == __file__
    assert refused.value.expected


def test_a_mistyped_column_type_names_the_nearest():
    with pytest.raises(DeclarationError, match="did you mean 'double'"):
        orders(types={"price": "dobule"})


def test_an_unknown_ending_is_refused():
    with pytest.raises(DeclarationError, match="is not known") as refused:
        ow.files("data/orders.xlsx")
    assert refused.value.location.file == __file__


def test_a_sql_table_keeps_what_it_was_given():
    table = ow.sql("sqlite:///shop.db", "orders", cursor="id")
    assert (table.url, table.table, table.cursor) == ("sqlite:///shop.db", "orders", "id")
