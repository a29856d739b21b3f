"""A table described: types, exact counts, and bars that hold every row."""

from __future__ import annotations

import json

import duckdb
import pytest

from onward.stages.validate import describe as module
from onward.stages.validate.describe import describe, moment


@pytest.fixture
def connection() -> duckdb.DuckDBPyConnection:
    con = duckdb.connect()
    con.execute("SET TimeZone = 'UTC'")
    con.execute("""
        CREATE TABLE t AS SELECT
            i AS n, i % 7 = 0 AS b, 'v' || (i % 5) AS s,
            CASE WHEN i % 4 > 0 THEN i * 1.5::DOUBLE END AS x,
            TIMESTAMPTZ '2024-01-01' + to_hours(i) AS at, DATE '2024-01-01' + i::INTEGER AS d,
            TIME '00:00:00' + to_seconds(i) AS tm, [i] AS l, 5 AS k, NULL::VARCHAR AS e,
            CASE WHEN i = 0 THEN 1e9 ELSE i % 10 END AS far, i AS "quo""te'd"
        FROM range(1000) AS r(i)
    """)
    return con


def test_every_row_is_in_a_bar_and_distinct_values_are_counted(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    found = describe(connection, "t")
    json.dumps(found, allow_nan=False)
    columns = found["columns"]
    assert (found["rows"], found["exact"]) == (1000, True)
    assert {n: c["distinct"] for n, c in columns.items() if n in ("n", "s", "x", "k", "e")} == {
        "n": 1000, "s": 5, "x": 750, "k": 1, "e": 0,
    }  # fmt: skip
    for name in ("n", "at", "d", "tm", "far", "quo\"te'd"):
        assert sum(columns[name]["bars"]["counts"]) == 1000, name
        assert len(columns[name]["bars"]["counts"]) == module.BARS
    assert sum(columns["x"]["bars"]["counts"]) == 750
    assert columns["b"]["bars"] == {"counts": [857, 143]}
    assert (columns["d"]["bars"]["low"], columns["d"]["bars"]["high"]) == (
        "2024-01-01", "2026-09-26",
    )  # fmt: skip
    assert columns["at"]["bars"]["low"] == "2024-01-01T00:00:00+00:00"
    assert columns["tm"]["bars"]["high"] == "00:16:39"
    assert (columns["s"]["lengths"], columns["e"]["lengths"]) == ([2, 2], [])
    assert columns["l"] == {"type": "other", "nulls": 0, "dtype": "BIGINT[]"}
    assert "bars" not in columns["k"]


def test_one_far_value_does_not_flatten_the_bars(connection: duckdb.DuckDBPyConnection) -> None:
    bars = describe(connection, "t", ["far"])["columns"]["far"]["bars"]
    assert bars["high"] < 100
    assert sum(1 for count in bars["counts"] if count) > 5


@pytest.mark.parametrize("rows", [0, 1])
def test_few_rows_are_described(connection: duckdb.DuckDBPyConnection, rows: int) -> None:
    connection.execute(f"CREATE TABLE few AS FROM t LIMIT {rows}")
    found = describe(connection, "few")
    assert found["rows"] == rows
    assert all("bars" not in c or c["type"] == "boolean" for c in found["columns"].values())


def test_columns_may_have_any_name(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute(
        "CREATE TABLE named AS SELECT 'a' AS n, 'b' AS value, 'c' AS held, 1 AS rows"
    )
    found = describe(connection, "named")["columns"]
    assert [found[name]["top"] for name in ("n", "value", "held")] == [
        [["a", 1.0]], [["b", 1.0]], [["c", 1.0]],
    ]  # fmt: skip


def test_an_estimate_is_never_more_than_the_rows(
    connection: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "EXACT_ROWS", 10)
    found = describe(connection, "t")
    assert not found["exact"]
    assert found["columns"]["n"]["distinct"] <= 1000
    assert found["columns"]["x"]["distinct"] <= 750


def test_a_moment_is_seconds() -> None:
    assert moment("1970-01-02") == 86_400
    assert moment("1970-01-01T00:00:01+00:00") == 1
    assert moment("01:00:00.5") == 3600.5
