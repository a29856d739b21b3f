"""Great Expectations' suites as checks: each expectation's count against Polars, and refusals."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from judged import Judged, judge

import onward as ow
from onward.core.errors import DeclarationError
from onward.stages.validate.translate.great_expectations import KNOWN
from onward.stages.validate.translate.row_expectations import ROWS


def suite(folder: Path, *entries: dict[str, Any], newer: bool = True) -> Path:
    """Write a suite of (type, kwargs and more) entries, indented as the tool itself does."""
    key = "type" if newer else "expectation_type"
    own = ("type", "severity")
    expectations = [
        {
            key: entry["type"],
            "severity": entry.get("severity"),
            "kwargs": {k: v for k, v in entry.items() if k not in own},
        }
        for entry in entries
    ]
    file = folder / "suite.json"
    name = "name" if newer else "expectation_suite_name"
    file.write_text(json.dumps({name: "orders", "expectations": expectations}, indent=2))
    return file


def asked(folder: Path, rows: pa.Table, *entries: dict[str, Any], **more: Any) -> Judged:
    newer = more.pop("newer", True)
    return judge(rows, *ow.great_expectations(suite(folder, *entries, newer=newer)), **more)


# Each expectation on rows, as Polars says when a row that counts is at fault.
X, S, A, B = pl.col("x"), pl.col("s"), pl.col("a"), pl.col("b")
COUNTED: dict[str, tuple[dict[str, Any], pl.Expr]] = {
    "expect_column_values_to_not_be_null": ({"column": "x"}, X.is_null()),
    "expect_column_values_to_be_null": ({"column": "x"}, X.is_not_null()),
    "expect_column_values_to_be_between": (
        {"column": "x", "min_value": -1, "max_value": 2, "strict_max": True},
        ~X.is_between(-1, 2, closed="left"),
    ),
    "expect_column_values_to_be_in_set": ({"column": "s", "value_set": ["a", "ab"]},
        ~S.is_in(["a", "ab"])),
    "expect_column_values_to_not_be_in_set": ({"column": "a", "value_set": [0, 1]},
        A.is_in([0, 1])),
    "expect_column_values_to_be_unique": ({"column": "a"},
        A.is_not_null() & (pl.len().over("a") > 1)),
    "expect_column_values_to_match_regex": ({"column": "s", "regex": "^a|c$"},
        ~S.str.contains("^a|c$")),
    "expect_column_values_to_not_match_regex": ({"column": "s", "regex": "b"},
        S.str.contains("b")),
    "expect_column_values_to_match_regex_list": ({"column": "s", "regex_list": ["^a", "b$"]},
        ~(S.str.contains("^a") | S.str.contains("b$"))),
    "expect_column_values_to_not_match_regex_list": ({"column": "s", "regex_list": ["^a", "b$"]},
        S.str.contains("^a") | S.str.contains("b$")),
    "expect_column_values_to_match_like_pattern": ({"column": "s", "like_pattern": "a%"},
        ~S.str.starts_with("a")),
    "expect_column_values_to_not_match_like_pattern": ({"column": "s", "like_pattern": "%b"},
        S.str.ends_with("b")),
    "expect_column_values_to_match_like_pattern_list": (
        {"column": "s", "like_pattern_list": ["a%", "%b"], "match_on": "all"},
        ~(S.str.starts_with("a") & S.str.ends_with("b"))),
    "expect_column_values_to_not_match_like_pattern_list": (
        {"column": "s", "like_pattern_list": ["a%", "%b"]},
        S.str.starts_with("a") | S.str.ends_with("b")),
    "expect_column_value_lengths_to_be_between": ({"column": "s", "min_value": 1, "max_value": 2},
        ~S.str.len_chars().is_between(1, 2)),
    "expect_column_value_lengths_to_equal": ({"column": "s", "value": 2}, S.str.len_chars() != 2),
    "expect_column_value_z_scores_to_be_less_than": ({"column": "x", "threshold": 1.0},
        ~(((X - X.mean()) / X.std()).abs() < 1.0).fill_null(False) & X.is_not_null()),
    "expect_column_pair_values_to_be_equal": (
        {"column_A": "a", "column_B": "b", "ignore_row_if": "either_value_is_missing"}, A != B),
    "expect_column_pair_values_a_to_be_greater_than_b": (
        {"column_A": "a", "column_B": "b", "or_equal": True,
         "ignore_row_if": "either_value_is_missing"}, A < B),
    "expect_column_pair_values_to_be_in_set": (
        {"column_A": "a", "column_B": "b", "value_pairs_set": [[0, 0], [1, 2], [1, None]]},
        ~(((A == 0) & (B == 0)).fill_null(False) | ((A == 1) & (B == 2)).fill_null(False)
          | ((A == 1) & B.is_null()).fill_null(False)) & ~(A.is_null() & B.is_null())),
    "expect_compound_columns_to_be_unique": ({"column_list": ["a", "b"]},
        A.is_not_null() & B.is_not_null() & (pl.len().over("a", "b") > 1)),
    "expect_select_column_values_to_be_unique_within_record": (
        {"column_list": ["a", "b"], "ignore_row_if": "any_value_is_missing"}, A == B),
    "expect_multicolumn_sum_to_equal": (
        {"column_list": ["a", "b"], "sum_total": 2, "ignore_row_if": "any_value_is_missing"},
        A + B != 2),
}  # fmt: skip

ROW = st.fixed_dictionaries(
    {
        "x": st.none() | st.integers(-3, 3).map(float),
        "s": st.none() | st.text("abc", max_size=3),
        "a": st.none() | st.integers(0, 2),
        "b": st.none() | st.integers(0, 2),
    }
)
SCHEMA = {"x": pl.Float64, "s": pl.String, "a": pl.Int64, "b": pl.Int64}


def test_every_expectation_on_rows_is_counted_below() -> None:
    assert COUNTED.keys() == ROWS.keys()
    assert len(KNOWN) >= 40


@settings(max_examples=25, deadline=None, phases=[Phase.generate])
@given(rows=st.lists(ROW, max_size=20))
def test_counts_are_those_of_polars(tmp_path_factory: Any, rows: list[dict[str, Any]]) -> None:
    frame = pl.DataFrame(rows, schema=SCHEMA)
    folder = tmp_path_factory.mktemp("suite")
    entries = [{"type": name, **kwargs} for name, (kwargs, _) in COUNTED.items()]
    found = asked(folder, frame.to_arrow(), *entries)
    faults = frame.select(**{name: fault.fill_null(False) for name, (_, fault) in COUNTED.items()})
    expected = [faults[name].sum() for name in COUNTED]
    assert list(found.offenders.values()) == expected, list(found.rules)


@settings(max_examples=25, deadline=None, phases=[Phase.generate])
@given(rows=st.lists(ROW, max_size=20), mostly=st.sampled_from([0.3, 0.5, 0.8]))
def test_mostly_is_a_share_of_the_rows_that_count(
    tmp_path_factory: Any, rows: list[dict[str, Any]], mostly: float
) -> None:
    frame = pl.DataFrame(rows, schema=SCHEMA)
    folder = tmp_path_factory.mktemp("suite")
    chosen = {name: said for name, said in COUNTED.items() if "column" in said[0]}
    entries = [{"type": n, "mostly": mostly, **kwargs} for n, (kwargs, _) in chosen.items()]
    found = asked(folder, frame.to_arrow(), *entries)
    assert found.quarantined == 0
    for result, (name, (kwargs, fault)) in zip(found.rules.values(), chosen.items(), strict=True):
        whole = frame if name.endswith("be_null") else frame.drop_nulls(kwargs["column"])
        at_fault = frame.select(fault.fill_null(False)).to_series().sum()
        passed = len(whole) == 0 or 1 - at_fault / len(whole) >= mostly - 1e-12
        assert (result.scope, result.severity, result.passed) == ("batch", "hold", passed), result


TABLE = pa.table(
    {
        "x": [1.0, 2.0, 3.0, None],
        "s": ["a", "b", "b", "c"],
        "at": pa.array([datetime(2024, 1, day, tzinfo=UTC) for day in (1, 2, 3, 4)]),
    }
)


@pytest.mark.parametrize(
    ("entry", "passed"),
    [
        ({"type": "expect_column_max_to_be_between", "column": "x", "max_value": 3}, True),
        ({"type": "expect_column_max_to_be_between", "column": "x", "max_value": 3,
          "strict_max": True}, False),
        ({"type": "expect_column_max_to_be_between", "column": "at", "min_value": "2024-01-04"},
         True),
        ({"type": "expect_column_max_to_be_between", "column": "at", "max_value": "2024-01-03"},
         False),
        ({"type": "expect_column_min_to_be_between", "column": "x", "min_value": 1.5}, False),
        ({"type": "expect_column_mean_to_be_between", "column": "x", "min_value": 2,
          "max_value": 2}, True),
        ({"type": "expect_column_median_to_be_between", "column": "x", "min_value": 2.5}, False),
        ({"type": "expect_column_stdev_to_be_between", "column": "x", "min_value": 1,
          "max_value": 1}, True),
        ({"type": "expect_column_sum_to_be_between", "column": "x", "max_value": 5}, False),
        ({"type": "expect_column_unique_value_count_to_be_between", "column": "s",
          "min_value": 3, "max_value": 3}, True),
        ({"type": "expect_column_proportion_of_unique_values_to_be_between", "column": "s",
          "max_value": 0.7}, False),
        ({"type": "expect_column_proportion_of_non_null_values_to_be_between", "column": "x",
          "min_value": 0.75, "max_value": 0.75}, True),
        ({"type": "expect_column_quantile_values_to_be_between", "column": "x",
          "quantile_ranges": {"quantiles": [0.5], "value_ranges": [[2, 2]]}}, True),
        ({"type": "expect_column_quantile_values_to_be_between", "column": "x",
          "quantile_ranges": {"quantiles": [0.5], "value_ranges": [[None, 1]]}}, False),
        ({"type": "expect_column_distinct_values_to_be_in_set", "column": "s",
          "value_set": ["a", "b", "c", "d"]}, True),
        ({"type": "expect_column_distinct_values_to_be_in_set", "column": "s",
          "value_set": ["a", "b"]}, False),
        ({"type": "expect_column_distinct_values_to_contain_set", "column": "s",
          "value_set": ["a", "b"]}, True),
        ({"type": "expect_column_distinct_values_to_contain_set", "column": "s",
          "value_set": ["a", "d"]}, False),
        ({"type": "expect_column_values_to_be_of_type", "column": "x", "type_": "float64"}, True),
        ({"type": "expect_column_values_to_be_of_type", "column": "at", "type_": "INTEGER"},
         False),
        ({"type": "expect_column_values_to_be_in_type_list", "column": "s",
          "type_list": ["VARCHAR", "TEXT"]}, True),
        ({"type": "expect_column_to_exist", "column": "x"}, True),
        ({"type": "expect_column_to_exist", "column": "gone"}, False),
        ({"type": "expect_table_columns_to_match_set", "column_set": ["at", "s", "x"]}, True),
        ({"type": "expect_table_columns_to_match_set", "column_set": ["x"],
          "exact_match": False}, True),
        ({"type": "expect_table_columns_to_match_set", "column_set": ["x"]}, False),
        ({"type": "expect_table_columns_to_match_ordered_list", "column_list": ["x", "s", "at"]},
         True),
        ({"type": "expect_table_columns_to_match_ordered_list", "column_list": ["s", "x", "at"]},
         False),
        ({"type": "expect_table_column_count_to_be_between", "min_value": 4}, False),
        ({"type": "expect_table_column_count_to_equal", "value": 3}, True),
        ({"type": "expect_table_row_count_to_be_between", "min_value": 1, "max_value": 4}, True),
        ({"type": "expect_table_row_count_to_equal", "value": 5}, False),
        ({"type": "expect_table_row_count_to_equal_other_table", "other_table_name": "twin"},
         True),
    ],
)  # fmt: skip
@pytest.mark.parametrize("newer", [True, False], ids=["type", "expectation_type"])
def test_expectations_on_the_batch(
    tmp_path: Path, entry: dict[str, Any], passed: bool, newer: bool
) -> None:
    found = asked(tmp_path, TABLE, entry, newer=newer, others={"twin": TABLE})
    assert [rule.passed for rule in found.rules.values()] == [passed], found.details
    assert {(r.scope, r.severity) for r in found.rules.values()} == {("batch", "hold")}


def test_a_set_may_be_met_exactly(tmp_path: Path) -> None:
    entry = {"type": "expect_column_distinct_values_to_equal_set", "column": "s"}
    found = asked(tmp_path, TABLE, {**entry, "value_set": ["a", "b", "c"]})
    assert list(found.passed.values()) == [True, True]
    found = asked(tmp_path, TABLE, {**entry, "value_set": ["a", "d"]})
    assert list(found.passed.values()) == [False, False]


def test_every_expectation_is_tested() -> None:
    [mark] = [m for m in test_expectations_on_the_batch.pytestmark if m.args[0][0] == "entry"]
    named = {entry["type"] for entry, _ in mark.args[1]}
    assert named | COUNTED.keys() | {"expect_column_distinct_values_to_equal_set"} == KNOWN.keys()


def test_an_expectation_keeps_its_name_its_line_and_its_severity(tmp_path: Path) -> None:
    file = suite(
        tmp_path,
        {"type": "expect_column_values_to_not_be_null", "column": "x", "result_format": "BASIC"},
        {"type": "expect_column_values_to_not_be_null", "column": "s", "severity": "warning"},
        {"type": "expect_table_row_count_to_equal", "value": 4, "severity": "info"},
        {"type": "expect_column_max_to_be_between", "column": "x", "severity": "critical"},
    )
    checks = ow.great_expectations(file, severity="hold")
    assert [(c.name, c.severity) for c in checks] == [
        ("column_values_to_not_be_null(x)", "hold"),
        ("column_values_to_not_be_null(s)", "warn"),
        ("table_row_count_to_equal(value=4)", "warn"),
        ("column_max_to_be_between(x)", None),
    ]
    lines = file.read_text().splitlines()
    for check in checks:
        assert check.location.file == str(file)
        assert "expect_" in lines[check.location.line - 1]
    assert len({check.location.line for check in checks}) == 4


def test_versions_follow_the_arguments(tmp_path: Path) -> None:
    def version(**kwargs: Any) -> str:
        entry = {"type": "expect_column_values_to_be_between", "column": "x", **kwargs}
        return ow.great_expectations(suite(tmp_path, entry))[0].version

    assert version(min_value=1) == version(min_value=1)
    assert len({version(min_value=1), version(min_value=2), version(min_value=1, mostly=0.5)}) == 3


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"type": "expect_column_values_to_be_prime", "column": "x"},
         "no expectation 'expect_column_values_to_be_prime'.*expect_column_values_to_be_between"),
        ({"type": "expect_column_max_to_be_between", "column": "x", "max_valu": 1},
         "no argument of .* 'max_valu'.*did you mean 'max_value'"),
        ({"type": "expect_column_values_to_be_between", "column": "x", "row_condition": "s=1"},
         "no argument of .* 'row_condition'"),
        ({"type": "expect_column_values_to_be_in_set", "column": "x"}, "lacks 'value_set'"),
        ({"type": "expect_column_values_to_match_regex", "column": "s", "regex": "(?=a)"},
         "cannot match: .*say it as ow.python_check"),
        ({"type": "expect_column_values_to_be_of_type", "column": "s", "type_": "Circle"},
         "no type of a column 'Circle'"),
        ({"type": "expect_column_pair_values_to_be_equal", "column_A": "x", "column_B": "x",
          "ignore_row_if": "nevr"}, "no value of ignore_row_if 'nevr'.*did you mean 'never'"),
        ({"type": "expect_column_max_to_be_between", "column": "x",
          "max_value": {"$PARAMETER": "top"}}, "leaves 'max_value' to a parameter: 'top'"),
    ],
)  # fmt: skip
def test_what_is_not_translated_is_refused_with_its_line(
    tmp_path: Path, entry: dict[str, Any], message: str
) -> None:
    file = suite(tmp_path, {"type": "expect_column_to_exist", "column": "x"}, entry)
    with pytest.raises(DeclarationError, match=f"(?s){message}") as no:
        ow.great_expectations(file)
    line = file.read_text().splitlines()[no.value.location.line - 1]
    assert entry["type"] in line
    assert no.value.location.file == str(file)


@pytest.mark.parametrize(
    ("text", "message", "line"),
    [
        ('{\n"expectations": [}', "is not JSON", 2),
        ("[]", "is no suite", 1),
        ('{"expectations": 3}', "is no suite", 1),
        ('{"expectations": [{"kwargs": {}}]}', "is no expectation", 1),
        ('{"expectations": ["expect_x"]}', "is no expectation", 1),
    ],
)
def test_what_is_no_suite_is_refused(tmp_path: Path, text: str, message: str, line: int) -> None:
    file = tmp_path / "suite.json"
    file.write_text(text)
    with pytest.raises(DeclarationError, match=message) as no:
        ow.great_expectations(file)
    assert (no.value.location.file, no.value.location.line) == (str(file), line)


def test_a_suite_lies_beside_the_pipeline_file() -> None:
    beside = re.escape(str(Path(__file__).with_name("gone.json")))
    with pytest.raises(DeclarationError, match=f"there is no suite {beside}") as no:
        ow.great_expectations("gone.json")
    assert no.value.location.file == __file__
