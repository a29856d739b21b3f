"""Suggested checks: the printed lines run, and the rows that they come from pass them."""

from __future__ import annotations

import string
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pytest
from audited import TABLE, audited
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import onward as ow
from onward.infra.lake.iceberg import IcebergLake, open_lake
from onward.stages.validate.describe import describe
from onward.stages.validate.patterns import find_pattern
from onward.stages.validate.suggest import Suggestion, column, of_batches, of_reference, suggest

UUID = r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"
START = datetime(2024, 1, 1, tzinfo=UTC)


def suggested(lake: IcebergLake, **given_: Any) -> list[Suggestion]:
    with lake.open({"rows": lake.dataset(TABLE)}) as connection:
        described = describe(connection.con, "rows")
        return list(suggest(connection.con, "rows", described, **given_))


def evaluated(code: str) -> Any:
    """Run one line as it would stand in a pipeline file."""
    from ibis import _

    return eval(code, {"ow": ow, "_": _})


def lines(rows: dict[str, Any], **given_: Any) -> dict[str, str]:
    with TemporaryDirectory() as folder:
        lake = open_lake(Path(folder) / "lake")
        lake.append(TABLE, pa.table(rows), key="all")
        return {s.name: s.code for s in suggested(lake, **given_)}


def test_each_column_says_what_it_holds() -> None:
    n = 100
    found = lines(
        {
            "id": [f"A-{i:04}" for i in range(n)],
            "at": [START + timedelta(hours=i) for i in range(n)],
            "known": [START + timedelta(hours=i + 1) for i in range(n)],
            "price": [2.0 + i for i in range(n)],
            "share": [i / n for i in range(n)],
            "debt": [-float(i) for i in range(n)],
            "items": [i % 7 for i in range(n)],
            "kind": [["shoes", 'a "b"', None][i % 3] for i in range(n)],
            "count": [i % 2 for i in range(n)],
            "few": [1.0 if i % 5 else None for i in range(n)],
            "rare": [1.0 if i % 5 == 0 else None for i in range(n)],
            "flag": [i % 2 == 0 for i in range(n)],
        },
        key=("id",),
        times=("at", "known"),
    )
    assert found == {
        "id is unique": 'ow.unique("id")',
        "id is in its usual form": 'ow.check("id is in its usual form", '
        r'_.id.re_search(r"^A\-\d+$"))',
        "price is present": 'ow.check("price is present", _.price.notnull())',
        "price is plausible": 'ow.check("price is plausible", _.price.between(0, 130))',
        "share is present": 'ow.check("share is present", _.share.notnull())',
        "share is a share": 'ow.check("share is a share", _.share.between(0, 1))',
        "debt is present": 'ow.check("debt is present", _.debt.notnull())',
        "debt is plausible": 'ow.check("debt is plausible", _.debt.between(-130, 0))',
        "items is present": 'ow.check("items is present", _.items.notnull())',
        "items is plausible": 'ow.check("items is plausible", _.items.between(0, 8))',
        "kind is complete": 'ow.complete("kind", at_least=0.63)',
        "kind is known": 'ow.check("kind is known", _.kind.isin(["a \\"b\\"", "shoes"]) '
        "| _.kind.isnull())",
        "count is present": 'ow.check("count is present", _["count"].notnull())',
        "count is 0 or 1": 'ow.check("count is 0 or 1", _["count"].isin([0, 1]))',
        "few is complete": 'ow.complete("few", at_least=0.76)',
        "flag is present": 'ow.check("flag is present", _.flag.notnull())',
        "at is no later than known": 'ow.check("at is no later than known", _.at <= _.known)',
    }


def test_of_few_rows_nothing_is_learnt() -> None:
    assert lines({"id": list(range(19))}, key=("id",)) == {}


cell = {
    "id": st.integers(-(10**6), 10**6),
    "x": st.none() | st.floats(-1e6, 1e6) | st.floats(0, 1),
    "n": st.integers(0, 5),
    "s": st.none() | st.sampled_from(["a", "b", "it's", 'say "no"', ""]),
    "code": st.integers(0, 10**7).map(lambda i: f'K-{i:03}/"x"'),
    "free": st.text(string.printable, max_size=5),
    "order by": st.booleans() | st.none(),
}


@settings(max_examples=6, deadline=None, phases=[Phase.generate])
@given(rows=st.lists(st.fixed_dictionaries(cell), min_size=20, max_size=60))
def test_the_rows_pass_what_they_suggest(rows: list[dict]) -> None:
    table = pa.Table.from_pylist(
        [{**row, "id": i} for i, row in enumerate(rows)],
        schema=pa.schema(
            [("id", pa.int64()), ("x", pa.float64()), ("n", pa.int32()), ("s", pa.string()),
             ("code", pa.string()), ("free", pa.string()), ("order by", pa.bool_())]
        ),
    )  # fmt: skip
    with TemporaryDirectory() as folder:
        source = open_lake(Path(folder) / "source")
        source.append(TABLE, table, key="all")
        checks = [evaluated(s.code) for s in suggested(source, key=("id",))]
        checks += [evaluated(s.code) for s in of_batches([len(rows)], "at", [])]
        assert len(checks) > 3
        report = audited(open_lake(Path(folder) / "target"), table, "r1", *checks)
        assert [r.rule for r in report.rules if not r.passed] == []
        assert report.rows_published == len(rows)


def test_batches_suggest_their_size_and_their_lag() -> None:
    found = list(of_batches([100, 130, 90], "at", [timedelta(hours=20), timedelta(hours=3)]))
    assert [(s.code, s.evidence) for s in found] == [
        (
            'ow.batch_check("the batch has a usual size", _.count().between(45, 260))',
            "3 batches of 90 to 130 rows",
        ),
        ('ow.fresh("at", within="40h")', "the newest row was at most 20h old at each audit"),
    ]
    for one in found:
        assert evaluated(one.code).name == one.name


@pytest.mark.parametrize("lag", [timedelta(days=400), timedelta(hours=-1)])
def test_data_of_long_ago_or_to_come_has_no_freshness(lag: timedelta) -> None:
    assert list(of_batches([], "at", [lag])) == []


def test_a_reference_is_one() -> None:
    one = of_reference("customer_id", "customers.customer_id", 12)
    assert evaluated(one.code).name == one.name


@pytest.mark.parametrize(
    ("values", "expression"),
    [
        (["R50001", "R50002"], r"^R\d+$"),
        (["AB-12-x", "AC-34-y"], r"^A[A-Z]\-\d{2}\-[a-z]+$"),
        (["AB-1-x", "AC-345-y"], r"^A[A-Z]\-\d+\-[a-z]+$"),
        (["order_1", "order_22"], r"^[a-z]+_\d+$"),
        (["2024-1", "2025-22"], r"^\d{4}\-\d+$"),
        (["a@b.de", "c.d@e.org"], r"^[^@\s]+@[^@\s]+\.[^@\s.]+$"),
        (["f47ac10b-58cc-4372-a567-0e02b2c3d479"], UUID),
        (['"1"', '"23"'], r'^"\d+"$'),
        (["12", "345"], None),
        (["word", "other"], None),
        (["A1", "1A"], None),
        (["ä1", "ä2"], None),
        ([], None),
    ],
)  # fmt: skip
def test_a_pattern_is_found_where_one_is_clear(values: list[str], expression: str | None) -> None:
    import duckdb

    connection = duckdb.connect()
    connection.execute("CREATE TABLE t (v VARCHAR)")
    if values:
        connection.execute("INSERT INTO t SELECT unnest(?)", [values])
    found = find_pattern(connection, "t", "v")
    assert (found and found.expression) == expression


def test_a_column_is_named_so_that_ibis_finds_it() -> None:
    assert [column(n) for n in ("price", "count", "order by", 'q"')] == [
        "_.price", '_["count"]', '_["order by"]', '_["q\\""]',
    ]  # fmt: skip
