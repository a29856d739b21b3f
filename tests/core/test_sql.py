"""Names and text that are put into SQL are read there as they are."""

from __future__ import annotations

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onward.core.sql import identifier, literal

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)


@pytest.fixture(scope="module")
def connection() -> duckdb.DuckDBPyConnection:
    return duckdb.connect()


@given(name=TEXT, text=TEXT)
def test_a_name_and_a_text_come_back(
    connection: duckdb.DuckDBPyConnection, name: str, text: str
) -> None:
    found = connection.execute(f"SELECT {literal(text)} AS {identifier(name)}").to_arrow_table()
    assert found.to_pylist() == [{name: text}]
