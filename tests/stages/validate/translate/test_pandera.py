"""Pandera's schemas as checks: each rule's count against Pandera itself, and what is in Python."""

import re
from datetime import UTC, datetime

import pandas as pd
import pandera.pandas as pdr
import pandera.polars as pp
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from judged import judge

import onward as ow
from onward.core.errors import DataError, DeclarationError
from onward.stages.validate.rules.python import Python

C = pdr.Check
NUMBERS = {
    "equal_to(1)": C.equal_to(1),
    "not_equal_to(1)": C.not_equal_to(1),
    "greater_than(1)": C.gt(1),
    "greater_than_or_equal_to(1)": C.ge(1),
    "less_than(1)": C.lt(1),
    "less_than_or_equal_to(1)": C.le(1),
    "in_range(-1, 2)": C.in_range(-1, 2, include_max=False),
    "isin([0, 2])": C.isin([0, 2]),
    "notin([0, 2])": C.notin([0, 2]),
}
TEXTS = {
    "str_matches('a.')": C.str_matches("a."),
    "str_contains('b|c')": C.str_contains("b|c"),
    "str_startswith('a')": C.str_startswith("a"),
    "str_endswith('b')": C.str_endswith("b"),
    "str_length(1, 2)": C.str_length(1, 2),
    "isin(['a', 'ab'])": C.isin(["a", "ab"]),
}
FRAMES = st.fixed_dictionaries(
    {
        "x": st.none() | st.integers(-3, 3).map(float),
        "s": st.none() | st.text("abc", max_size=3),
    }
)


def failures(schema: pdr.DataFrameSchema, frame: pd.DataFrame) -> dict[str, int]:
    """Return how many values Pandera finds at fault, by column and check."""
    try:
        schema.validate(frame, lazy=True)
    except pdr.errors.SchemaErrors as found:
        counts = found.failure_cases.groupby(["column", "check"]).size()
        return {f"{column}: {check}": n for (column, check), n in counts.items()}
    return {}


@settings(max_examples=25, deadline=None, phases=[Phase.generate])
@given(rows=st.lists(FRAMES, min_size=1, max_size=20))
def test_counts_are_those_of_pandera(rows) -> None:
    frame = pd.DataFrame(rows, columns=["x", "s"]).astype({"x": "float64", "s": "str"})
    schema = pdr.DataFrameSchema(
        {
            "x": pdr.Column(float, list(NUMBERS.values()), nullable=True),
            "s": pdr.Column(str, list(TEXTS.values()), nullable=False),
        }
    )
    checks = ow.pandera(schema)
    assert not any(isinstance(check.rule, Python) for check in checks)
    table = pl.DataFrame(rows, schema={"x": pl.Float64, "s": pl.String}).to_arrow()
    found = judge(table, *checks)
    expected = {
        name.replace(": not_nullable", ": not nullable"): count
        for name, count in failures(schema, frame).items()
    }
    assert {name: n for name, n in found.offenders.items() if n} == expected
    assert all(rule.passed for rule in found.rules.values() if rule.scope == "batch")


def test_every_check_is_named_by_what_it_asks() -> None:
    schema = pdr.DataFrameSchema({"x": pdr.Column(float, [*NUMBERS.values(), C.gt(1)])})
    names = [check.name for check in ow.pandera(schema)]
    assert names[:3] == ["columns of the schema", "x: float64", "x: not nullable"]
    assert names[3:-1] == [f"x: {name}" for name in NUMBERS]
    assert names[-1] == "x: greater_than(1) (2)"


class Orders(pdr.DataFrameModel):
    n: int = pdr.Field(ge=0, unique=True)
    word: str = pdr.Field(isin=["a", "b"], nullable=True, raise_warning=True)
    at: pd.DatetimeTZDtype = pdr.Field(dtype_kwargs={"unit": "us", "tz": "UTC"})
    maybe: float | None = pdr.Field(lt=5)

    @pdr.check("n")
    def even(cls, n):
        return n % 2 == 0

    @pdr.check("n")
    def few(cls, n):
        return n.max() < 100

    @pdr.dataframe_check
    def n_is_no_a(cls, frame):
        return (frame["n"] != 0) | (frame["word"] != "a")

    class Config:
        strict = True


ROWS = pa.table(
    {
        "n": [0, 1, 2, 2],
        "word": ["a", "c", None, "b"],
        "at": pa.array([datetime(2024, 1, 1, tzinfo=UTC)] * 4, pa.timestamp("us", "UTC")),
    }
)


def test_a_model_says_what_a_schema_does_and_what_is_in_python_says_so() -> None:
    found = judge(ROWS, *ow.pandera(Orders))
    assert {name: n for name, n in found.offenders.items() if n} == {
        "n: unique": 2,
        "n: even, in Python": 1,
        "rows: n_is_no_a, in Python": 1,
        "word: isin(['a', 'b'])": 1,
    }
    assert found.rules["n: few, in Python"].scope == "batch"
    assert found.rules["word: isin(['a', 'b'])"].severity == "warn"
    assert found.quarantined == 4
    assert found.passed["columns of the schema"]


def test_columns_and_types_are_rules_on_the_batch() -> None:
    rows = ROWS.append_column("maybe", [[1.0, 2.0, 9.0, None]]).append_column("more", [["x"] * 4])
    found = judge(rows, *ow.pandera(Orders))
    assert found.details["columns of the schema"] == "not expected: more"
    assert found.offenders["maybe: less_than(5)"] == 1
    other = pdr.DataFrameSchema(
        {"word": pdr.Column(int), "n": pdr.Column(str, coerce=True)}, ordered=True
    )
    found = judge(rows, *ow.pandera(other))
    assert found.details["word: int64"] == "it is string, not integer"
    assert found.details["columns of the schema"] == "in the order n, word"
    missing = pdr.DataFrameSchema({"gone": pdr.Column(nullable=True)})
    found = judge(rows, *ow.pandera(missing))
    assert found.details["columns of the schema"] == "missing: gone"


def test_a_pattern_of_names_is_a_rule_on_each_column() -> None:
    schema = pdr.DataFrameSchema({"x_.*": pdr.Column(float, C.gt(0), regex=True, nullable=True)})
    rows = pa.table({"x_1": [1.0, -1.0, 1.0], "x_2": [1.0, 1.0, None], "y": [-1.0] * 3})
    found = judge(rows, *ow.pandera(schema))
    assert found.offenders == {"x_.*: greater_than(0)": 1}
    assert judge(rows.select(["y"]), *ow.pandera(schema)).quarantined == 0


def test_categories_and_uniqueness_across_columns() -> None:
    schema = pdr.DataFrameSchema(
        {"word": pdr.Column(pd.CategoricalDtype(["a", "b"]), nullable=True), "n": pdr.Column(int)},
        unique=["word", "n"],
        report_duplicates="exclude_first",
    )
    rows = pa.table({"word": ["a", "a", "z", None], "n": [1, 1, 1, 1]})
    assert judge(rows, *ow.pandera(schema)).offenders == {
        "columns of the schema": 0,
        "word: category": 1,
        "n: int64": 0,
        "n: not nullable": 0,
        "word, n: unique": 1,
    }


@pytest.mark.parametrize(
    ("column", "check", "counted"),
    [
        ("x", C(lambda s: s > 0), 2),
        ("x", C(lambda x: x > 0, element_wise=True), 2),
        ("x", C(lambda s: s.fillna(0) > 0, ignore_na=False), 3),
        ("x", C.gt(0, ignore_na=False), 3),
        ("s", C.str_matches(re.compile("A", re.IGNORECASE)), 1),
        ("s", C.str_matches("(?!a)"), 1),
    ],
)  # fmt: skip
def test_what_is_code_is_asked_in_python(column, check, counted) -> None:
    rows = pa.table({"x": [1.0, -1.0, -2.0, None], "s": ["a", "A", "b", None]})
    schema = pdr.DataFrameSchema({column: pdr.Column(checks=check, nullable=True)})
    [_, found] = ow.pandera(schema)
    assert isinstance(found.rule, Python)
    assert found.name.endswith(", in Python")
    count = judge(rows, found).offenders[found.name]
    assert count == counted


def test_a_schema_for_polars_is_asked_by_polars() -> None:
    class Frame(pp.DataFrameModel):
        x: float = pp.Field(gt=0, nullable=True)
        s: str

        @pp.check("x")
        def whole(cls, data: pp.PolarsData) -> pl.LazyFrame:
            return data.lazyframe.select(pl.col(data.key) % 1 == 0)

        @pp.check("x")
        def small(cls, data: pp.PolarsData) -> pl.LazyFrame:
            return data.lazyframe.select(pl.col(data.key).max() < 3)

    rows = pa.table({"x": [1.0, -1.0, 2.5, None], "s": ["a", None, "b", "c"]})
    found = judge(rows, *ow.pandera(Frame))
    assert {name: n for name, n in found.offenders.items() if n} == {
        "x: greater_than(0)": 1,
        "x: whole, in Python": 1,
        "s: not nullable": 1,
    }
    assert found.rules["x: small, in Python"].scope == "batch"
    assert found.passed["x: small, in Python"]


def test_severity_is_that_of_rules_on_rows() -> None:
    checks = ow.pandera(Orders, severity="warn")
    assert {c.severity for c in checks if c.scope == "row"} == {"warn"}
    assert {c.severity for c in checks if c.scope != "row"} == {None}
    with pytest.raises(DeclarationError, match="no severity 'wrn'"):
        ow.pandera(Orders, severity="wrn")


def test_versions_follow_what_a_check_asks() -> None:
    def version(check):
        [*_, found] = ow.pandera(
            pdr.DataFrameSchema({"x": pdr.Column(checks=check, nullable=True)})
        )
        return found.version

    assert version(C.gt(1)) == version(C.gt(1)) != version(C.gt(2))
    assert version(C(lambda s: s > 1)) != version(C(lambda s: s > 2))
    assert version(C(lambda s: s > 1)) == version(C(lambda s: s > 1))


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        (int, "is no Pandera schema"),
        (pdr.Column(int), "is no Pandera schema"),
        (pdr.DataFrameSchema({}, index=pdr.Index(int)), "has an index"),
        (pdr.DataFrameSchema({"x.*": pdr.Column(checks=C(len), regex=True)}), "is in Python"),
    ],
)
def test_what_is_no_schema_of_a_table_is_refused(schema, message) -> None:
    with pytest.raises(DeclarationError, match=message):
        ow.pandera(schema)


def test_a_check_that_raises_is_named() -> None:
    schema = pdr.DataFrameSchema({"n": pdr.Column(checks=C(lambda n: 1 / 0, name="odd"))})
    with pytest.raises(DataError, match="check 'n: odd, in Python' raised ZeroDivisionError"):
        judge(ROWS, *ow.pandera(schema))
