"""What is read in one pass is what was found by trying each value: types, values, lost text.

`plain_types` and `plain_rows` say it in the simplest SQL, a test per type and a cast per value.
"""

from collections.abc import Iterator, Sequence

import duckdb
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from onward.core.records import UNREADABLE
from onward.stages.ingest import looks
from onward.stages.ingest.looks import infer, presume
from onward.stages.ingest.reading import TIMESTAMP, TYPES
from onward.stages.ingest.rows import InDoubtError, Streamed, carefully, swiftly
from onward.stages.ingest.scan import Scan

ABSENT = ["", "NA", "N/A", "NaN", "nan", "NULL", "null", "None", " NA ", "  ", " nan"]
NUMBERS = ["0", "7", "-12", "+5", "1.0", "1.5", ".5", "-.5", "-0", "0.0", "1e3", "1E-7", "9" * 19,
           "9223372036854775807", "9007199254740993", "1_000", "0x1F", " 3", "4 ", "5.", "-0.5",
           "inf", "-Inf", "NAN", "-nan", "1e400", "0e5", "00", "1" * 20]  # fmt: skip
CODES = ["007", "+08", "-01", "00.5", "0123.4", " 09", "0b1"]
FLAGS = ["true", "false", "TRUE", "False", " true", "t", "f", "yes", "no", "1", "0", "y"]
DAYS = ["2024-01-31", "2024-1-3", "0044-03-15", "0044-03-15 (BC)", "300000-01-01", "12-1-1",
        "2024-02-30", "2024/01/31", " 2024-01-31", "infinity", "epoch", "-5-01-01"]  # fmt: skip
TIMES = ["2024-01-31T06:30:00Z", "2024-01-31 06:30", "2024-01-31 06:30:00+02", "2024-01-31 25:00",
         "06:30:00", "2024-01-31 06:30:00.123456789", "2024-01-31T06:30 Asia/Tokyo"]  # fmt: skip
TEXT = ["x", "Ünïcode", "a b", "'quoted'", "D12", "-", "."]
POOLS = [NUMBERS, NUMBERS + CODES, FLAGS, DAYS, DAYS + TIMES, TIMES, TEXT]
KINDS = sorted(set(TYPES.values()))

columns = st.sampled_from(POOLS).flatmap(
    lambda pool: st.lists(
        st.none() | st.sampled_from(pool) | st.sampled_from(pool + ABSENT + TEXT), max_size=8
    )
)


SCAN = Scan(sql="SELECT x FROM came", columns={"x": "VARCHAR"})


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        yield connection


def come(connection: duckdb.DuckDBPyConnection, texts: Sequence[str | None]) -> None:
    connection.register("came", pa.table({"x": pa.array(texts, pa.string())}))


LISTED = "(" + ", ".join(f"'{text}'" for text in ABSENT[:8]) + ")"


def plain_type(connection: duckdb.DuckDBPyConnection) -> str:
    fits = {
        "BIGINT": r"regexp_full_match(trim(x), '[+-]?(0|[1-9]\d*)') "
        "AND TRY_CAST(x AS BIGINT) IS NOT NULL",
        "DOUBLE": r"TRY_CAST(x AS DOUBLE) IS NOT NULL "
        r"AND NOT regexp_matches(trim(x), '^[+-]?0\d')",
        "BOOLEAN": "lower(trim(x)) IN ('true', 'false')",
        "DATE": r"regexp_full_match(trim(x), '\d+-\d+-\d+') AND TRY_CAST(x AS DATE) IS NOT NULL",
        TIMESTAMP: r"regexp_matches(trim(x), '^\d+-\d+-\d+') "
        f"AND TRY_CAST(x AS {TIMESTAMP}) IS NOT NULL",
    }
    for kind, test in fits.items():
        query = f"SELECT bool_and({test}) FROM came WHERE trim(x) NOT IN {LISTED}"
        if connection.execute(query).fetchall() == [(True,)]:
            return kind
    return "VARCHAR"


def plain_rows(connection: duckdb.DuckDBPyConnection, kind: str) -> list[tuple]:
    """Return each text's value, and the text where it has none though it is there."""
    if kind == "VARCHAR":
        return connection.execute("SELECT x, NULL FROM came").fetchall()
    value = f"TRY_CAST(x AS {kind})"
    if kind == "BIGINT":
        value = f"CASE WHEN TRY_CAST(x AS DOUBLE) = {value} THEN {value} END"
    if kind == "DATE":
        at = f"TRY_CAST(x AS {TIMESTAMP})"
        value = f"CASE WHEN {at} IS NOT NULL THEN CASE WHEN {at} = {value} THEN {value} END END"
    value = f"CASE WHEN trim(x) NOT IN {LISTED} THEN {value} END"
    lost = f"CASE WHEN trim(x) NOT IN {LISTED} AND {value} IS NULL THEN 'x=' || x END"
    return connection.execute(f"SELECT {value}::VARCHAR, {lost} FROM came").fetchall()


def rows_of(connection: duckdb.DuckDBPyConnection, streamed: Streamed) -> list[tuple]:
    read = streamed.reader().read_all()
    connection.register("found", read)
    lost = UNREADABLE if UNREADABLE in read.column_names else "NULL"
    return connection.execute(f"SELECT x::VARCHAR, {lost} FROM found").fetchall()


@settings(max_examples=150, deadline=None)
@given(texts=columns)
@example(texts=[" true", "false"])
@example(texts=["300000-01-01"])
@example(texts=["NAN", "1"])
@example(texts=[None, "NA"])
def test_types_are_those_of_every_value(
    connection: duckdb.DuckDBPyConnection, texts: list[str | None]
) -> None:
    come(connection, texts)
    assert infer(connection, SCAN) == {"x": plain_type(connection)}


@settings(max_examples=100, deadline=None)
@given(texts=columns, kind=st.sampled_from(KINDS))
@example(texts=[*ABSENT, "NAN", "-nan"], kind="DOUBLE")
@example(texts=ABSENT, kind="BLOB")
@example(texts=[*NUMBERS, *CODES], kind="BIGINT")
@example(texts=[*DAYS, *TIMES], kind="DATE")
@example(texts=[*FLAGS, *ABSENT], kind="BOOLEAN")
def test_values_are_read_in_one_pass_or_with_their_text(
    connection: duckdb.DuckDBPyConnection, texts: list[str | None], kind: str
) -> None:
    come(connection, texts)
    plain = plain_rows(connection, kind)
    streamed = Streamed(connection, swiftly(SCAN, {"x": kind}))
    if any(lost for _, lost in plain):
        with pytest.raises(InDoubtError):
            rows_of(connection, streamed)
        assert streamed.doubted
    else:
        assert rows_of(connection, streamed) == plain
        assert not streamed.doubted
    careful = carefully(connection, SCAN, {"x": kind})
    assert rows_of(connection, Streamed(connection, careful)) == plain


@settings(max_examples=100, deadline=None)
@given(texts=columns, sample=st.integers(1, 4))
@example(texts=["1", "2", "x"], sample=2)
@example(texts=["1", "2", "1.5"], sample=2)
@example(texts=["NA", "NA", "2024-01-01"], sample=1)
@example(texts=["true", " true"], sample=1)
def test_a_sample_is_believed_only_until_a_value_refutes_it(
    connection: duckdb.DuckDBPyConnection, texts: list[str | None], sample: int
) -> None:
    come(connection, texts)
    true = plain_type(connection)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(looks, "_SAMPLE", sample)
        types = presume(connection, SCAN)
    unproved = [] if types["x"] == "VARCHAR" else ["x"]
    streamed = Streamed(connection, swiftly(SCAN, types, unproved))
    try:
        found = rows_of(connection, streamed)
    except InDoubtError:
        assert (types["x"], any(lost for _, lost in plain_rows(connection, true))) != (true, False)
    else:
        assert types == {"x": true}
        assert found == plain_rows(connection, true)
