"""Keys: unique in the batch and against what is published, foreign keys, and their counts."""

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from judged import judge

import onward as ow
from onward.core.errors import DeclarationError

ORDERS = pa.table(
    {
        "id": [1, 2, 2, 3, 3, 3, None, None],
        "at": [1, 5, 4, 9, 9, 8, 1, 1],
        "what": ["a", "b", "c", "e", "d", "f", "g", "g"],
    }
)


def kept(found):
    return sorted(found.good["what"].to_pylist())


def test_of_several_rows_with_one_key_none_is_right():
    found = judge(ORDERS, ow.unique("id"))
    assert found.offenders == {"id is unique": 5}
    assert kept(found) == ["a", "g", "g"]


def test_the_first_or_last_by_a_column_is_kept_and_ties_go_by_content():
    assert kept(judge(ORDERS, ow.unique("id", keep="first", by="at"))) == ["a", "c", "f", "g", "g"]
    assert kept(judge(ORDERS, ow.unique("id", keep="last", by="at"))) == ["a", "b", "e", "g", "g"]


def test_which_is_kept_does_not_depend_on_the_order_of_rows():
    check = ow.unique("id", keep="last", by="at")
    assert kept(judge(ORDERS.take(list(range(7, -1, -1))), check)) == kept(judge(ORDERS, check))


def test_of_rows_alike_in_everything_one_is_kept():
    twice = pa.concat_tables([ORDERS.slice(0, 1)] * 3)
    found = judge(twice, ow.unique("id", keep="first", by="at"))
    assert (found.quarantined, kept(found)) == (2, ["a"])


def test_a_key_that_is_published_keeps_its_row():
    published = ORDERS.slice(0, 2)
    found = judge(ORDERS, ow.unique("id", keep="first", by="at"), published=published)
    assert kept(found) == ["f", "g", "g"]
    alone = ow.unique("id", keep="first", by="at", published=False)
    assert kept(judge(ORDERS, alone, published=published)) == ["a", "c", "f", "g", "g"]
    every = ow.unique("id", keep="first", by="at")
    assert kept(judge(ORDERS, every, published=published, mode="upsert"))[:3] == ["a", "c", "f"]
    assert kept(judge(ORDERS, every, published=published, mode="replace"))[:3] == ["a", "c", "f"]


def test_several_columns_are_one_key():
    found = judge(ORDERS, ow.unique("id", "at"), published=pa.table({"id": [1], "at": [2]}))
    assert found.offenders == {"id, at are unique": 2}


def test_several_rules_on_keys_count_each_for_itself():
    found = judge(
        ORDERS,
        ow.unique("id"),
        ow.unique("what", name="what occurs once"),
        ow.references("what", "letters.letter"),
        ow.references("id", "orders.id", name="refers to itself"),
        others={"letters": pa.table({"letter": ["a", "b", "g", "h", None]})},
    )
    assert found.offenders == {
        "id is unique": 5,
        "what occurs once": 2,
        "what is in letters.letter": 4,
        "refers to itself": 0,
    }
    assert kept(found) == ["a"]


def test_null_refers_to_nothing_and_a_dataset_to_itself_and_to_what_is_published():
    rows = pa.table({"id": [4, 5], "parent": [3, None], "what": ["x", "y"]})
    check = ow.references("parent", "orders.id")
    assert judge(rows, check).offenders == {"parent is in orders.id": 1}
    assert judge(rows, check, published=pa.table({"id": [3], "parent": [5]})).quarantined == 0


def test_a_key_of_two_columns_is_looked_up_as_one():
    others = {"shops": pa.table({"city": ["A", "B"], "number": [1, 2]})}
    rows = pa.table({"town": ["A", "A", "B", None], "no": [1, 2, 2, 9], "what": list("wxyz")})
    check = ow.references(["town", "no"], ["shops.city", "shops.number"])
    assert kept(judge(rows, check, others=others)) == ["w", "y", "z"]


@pytest.mark.parametrize(
    ("check", "message"),
    [
        (ow.unique("idd"), "no column 'idd'.*did you mean 'id'"),
        (ow.unique("id", keep="first", by="att"), "no column 'att'.*did you mean 'at'"),
        (ow.references("wat", "letters.letter"), "no column 'wat'.*did you mean 'what'"),
        (
            ow.references("what", "letters.leter"),
            "no column of 'letters' 'leter'.*did you mean 'letter'",
        ),
        (ow.references("id", "letters.letter"), "refers from 'id', which is int64.*string"),
    ],
)
def test_keys_that_are_not_there_are_refused(check, message):
    others = {"letters": pa.table({"letter": ["a"]})}
    with pytest.raises(DeclarationError, match=f"(?s){message}") as no:
        judge(ORDERS, check, others=others)
    assert no.value.location.file == __file__


KEY = st.none() | st.integers(0, 5)
ROWS = st.lists(
    st.fixed_dictionaries(
        {"id": KEY, "part": st.sampled_from(["a", "b"]), "at": st.integers(0, 3)}
    ),
    max_size=25,
)
SCHEMA = {"id": pl.Int64, "part": pl.String, "at": pl.Int64}


@settings(max_examples=30, deadline=None, phases=[Phase.generate])
@given(
    rows=ROWS,
    before=st.none() | ROWS,
    known=st.lists(KEY, max_size=4),
    columns=st.sampled_from([("id",), ("id", "part")]),
    keep=st.sampled_from(["none", "first", "last"]),
)
def test_counts_are_those_of_polars(rows, before, known, columns, keep):
    frame = pl.DataFrame(rows, schema=SCHEMA)
    published = pl.DataFrame(before or [], schema=SCHEMA)
    others = pl.DataFrame({"id": known}, schema={"id": pl.Int64})
    found = judge(
        frame.to_arrow(),
        ow.unique(*columns, keep=keep, by=None if keep == "none" else "at", name="unique"),
        ow.references("id", "others.id", name="known"),
        published=None if before is None else published.to_arrow(),
        others={"others": others.to_arrow()},
    )
    whole = frame.drop_nulls(columns)
    there = published.select(columns).unique()
    fresh = whole.join(there, on=columns, how="anti")
    alone = fresh.filter(pl.len().over(columns) == 1)
    right = alone.height if keep == "none" else fresh.select(columns).unique().height
    unknown = frame.drop_nulls("id").join(others, on="id", how="anti")
    assert found.offenders == {"unique": whole.height - right, "known": unknown.height}
    assert found.good.num_rows + found.quarantined == frame.height
