"""Expectations of Great Expectations that are about rows, and what each is here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from onward.core.errors import DeclarationError, unknown_name
from onward.stages.validate.rules.keys import Unique
from onward.stages.validate.rules.values import Across, Ignore, Values

Rule = Values | Across | Unique
Arguments = Mapping[str, Any]
_MAKE = Callable[[Arguments], Rule]

COLUMN: Final = ("column",)
LIST: Final = ("column_list",)
BOUNDS: Final = ("min_value", "max_value", "strict_min", "strict_max")
MOSTLY: Final = ("mostly",)
_PAIR: Final = ("column_A", "column_B")
_IGNORING: Final = ("ignore_row_if", "mostly")
_IGNORED: Final[Mapping[str, Ignore]] = {
    "all_values_are_missing": "all",
    "both_values_are_missing": "all",
    "any_value_is_missing": "any",
    "either_value_is_missing": "any",
    "never": "none",
    "neither": "none",
}


def _values(test: str, *names: str) -> Callable[[Arguments], Rule]:
    """Return a maker of a test on a column's values, with these of the arguments, in order."""

    def make(given: Arguments) -> Rule:
        arguments = tuple(_frozen(given.get(name)) for name in names)
        return Values(column=given["column"], test=test, arguments=arguments)

    return make


def _listed(test_any: str, test_all: str, key: str) -> Callable[[Arguments], Rule]:
    def make(given: Arguments) -> Rule:
        test = test_all if given.get("match_on") == "all" else test_any
        return Values(column=given["column"], test=test, arguments=(tuple(given[key]),))

    return make


def _single(test: str, key: str) -> Callable[[Arguments], Rule]:
    return lambda given: Values(column=given["column"], test=test, arguments=((given[key],),))


def _length(given: Arguments) -> Rule:
    exact = given.get("value")
    arguments = (exact, exact) if exact is not None else bounds(given)
    return Values(column=given["column"], test="length", arguments=arguments)


def _between(given: Arguments) -> Rule:
    return Values(column=given["column"], test="between", arguments=bounds(given))


def _z_score(given: Arguments) -> Rule:
    arguments = (given["threshold"], given.get("double_sided", True))
    return Values(column=given["column"], test="z score", arguments=arguments)


def _unique(given: Arguments) -> Rule:
    columns = given.get("column_list") or [given["column"]]
    return Unique(columns=tuple(columns), published=False)


def _pair(test: str, key: str | None = None) -> Callable[[Arguments], Rule]:
    def make(given: Arguments) -> Rule:
        arguments = () if key is None else (_frozen(given.get(key, False)),)
        columns = (given["column_A"], given["column_B"])
        return Across(columns=columns, test=test, arguments=arguments, ignore=_ignored(given))

    return make


def _among(test: str, key: str | None = None) -> Callable[[Arguments], Rule]:
    def make(given: Arguments) -> Rule:
        arguments = () if key is None else (given[key],)
        columns = tuple(given["column_list"])
        return Across(columns=columns, test=test, arguments=arguments, ignore=_ignored(given))

    return make


def _ignored(given: Arguments) -> Ignore:
    said = given.get("ignore_row_if", "all_values_are_missing")
    if said not in _IGNORED:
        what, expected = unknown_name("value of ignore_row_if", said, _IGNORED)
        raise DeclarationError(what, expected=expected)
    return _IGNORED[said]


def bounds(given: Arguments) -> tuple[Any, Any, bool, bool]:
    """Return the least and greatest value, and whether each is left out."""
    low, high = given.get("min_value"), given.get("max_value")
    return low, high, given.get("strict_min", False), given.get("strict_max", False)


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


ROWS: Final[Mapping[str, tuple[tuple[str, ...], tuple[str, ...], _MAKE]]] = {
    "expect_column_values_to_not_be_null": (COLUMN, MOSTLY, _values("present")),
    "expect_column_values_to_be_null": (COLUMN, MOSTLY, _values("absent")),
    "expect_column_values_to_be_between": (COLUMN, (*BOUNDS, *MOSTLY), _between),
    "expect_column_values_to_be_in_set": (
        (*COLUMN, "value_set"), MOSTLY, _values("in", "value_set"),
    ),
    "expect_column_values_to_not_be_in_set": (
        (*COLUMN, "value_set"), MOSTLY, _values("not in", "value_set"),
    ),
    "expect_column_values_to_be_unique": (COLUMN, MOSTLY, _unique),
    "expect_column_values_to_match_regex": (
        (*COLUMN, "regex"), MOSTLY, _values("matches", "regex"),
    ),
    "expect_column_values_to_not_match_regex": (
        (*COLUMN, "regex"), MOSTLY, _values("matches not", "regex"),
    ),
    "expect_column_values_to_match_regex_list": (
        (*COLUMN, "regex_list"), ("match_on", *MOSTLY),
        _listed("matches any", "matches all", "regex_list"),
    ),
    "expect_column_values_to_not_match_regex_list": (
        (*COLUMN, "regex_list"), MOSTLY, _values("matches none", "regex_list"),
    ),
    "expect_column_values_to_match_like_pattern": (
        (*COLUMN, "like_pattern"), MOSTLY, _single("like any", "like_pattern"),
    ),
    "expect_column_values_to_not_match_like_pattern": (
        (*COLUMN, "like_pattern"), MOSTLY, _single("like none", "like_pattern"),
    ),
    "expect_column_values_to_match_like_pattern_list": (
        (*COLUMN, "like_pattern_list"), ("match_on", *MOSTLY),
        _listed("like any", "like all", "like_pattern_list"),
    ),
    "expect_column_values_to_not_match_like_pattern_list": (
        (*COLUMN, "like_pattern_list"), MOSTLY, _values("like none", "like_pattern_list"),
    ),
    "expect_column_value_lengths_to_be_between": (COLUMN, (*BOUNDS, *MOSTLY), _length),
    "expect_column_value_lengths_to_equal": ((*COLUMN, "value"), MOSTLY, _length),
    "expect_column_value_z_scores_to_be_less_than": (
        (*COLUMN, "threshold"), ("double_sided", *MOSTLY), _z_score,
    ),
    "expect_column_pair_values_to_be_equal": (_PAIR, _IGNORING, _pair("equal")),
    "expect_column_pair_values_a_to_be_greater_than_b": (
        _PAIR, ("or_equal", *_IGNORING), _pair("above", "or_equal"),
    ),
    "expect_column_pair_values_to_be_in_set": (
        (*_PAIR, "value_pairs_set"), _IGNORING, _pair("pair in", "value_pairs_set"),
    ),
    "expect_compound_columns_to_be_unique": (LIST, MOSTLY, _unique),
    "expect_select_column_values_to_be_unique_within_record": (
        LIST, _IGNORING, _among("distinct"),
    ),
    "expect_multicolumn_sum_to_equal": (
        (*LIST, "sum_total"), _IGNORING, _among("sum", "sum_total"),
    ),
}  # fmt: skip
