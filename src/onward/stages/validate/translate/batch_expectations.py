"""Expectations of Great Expectations that are about the batch, and what each is here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from onward.core.errors import DeclarationError, unknown_name
from onward.stages.validate.rules.columns import ColumnCount, Columns, Family, OfType
from onward.stages.validate.rules.measured import Bounded, Share
from onward.stages.validate.rules.reconciliation import Reconciliation
from onward.stages.validate.rules.values import Aggregate, Values
from onward.stages.validate.translate.row_expectations import (
    BOUNDS,
    COLUMN,
    LIST,
    MOSTLY,
    Arguments,
    bounds,
)


def _aggregate(measure: str) -> Callable[[Arguments], Mapping[str, Any]]:
    def make(given: Arguments) -> Mapping[str, Any]:
        low, high, strict_low, strict_high = bounds(given)
        value = Aggregate(measure=measure, column=given.get("column", ""))
        return {
            "": Bounded(
                value=value, low=low, high=high, strict_low=strict_low, strict_high=strict_high
            )
        }

    return make


def _quantiles(given: Arguments) -> Mapping[str, Any]:
    ranges = given["quantile_ranges"]
    return {
        f"at {q:g}": Bounded(
            value=Aggregate(measure="quantile", column=given["column"], argument=q),
            low=low,
            high=high,
        )
        for q, (low, high) in zip(ranges["quantiles"], ranges["value_ranges"], strict=True)
    }


def _only(given: Arguments) -> Mapping[str, Any]:
    rule = Values(column=given["column"], test="in", arguments=(tuple(given["value_set"]),))
    return {"": Share(rule=rule, at_least=1.0)}


def _all_of(given: Arguments) -> Mapping[str, Any]:
    values = tuple(dict.fromkeys(given["value_set"]))
    value = Aggregate(measure="distinct among", column=given["column"], argument=values)
    return {"": Bounded(value=value, low=len(values))}


def _exactly(given: Arguments) -> Mapping[str, Any]:
    return {"no others": _only(given)[""], "each of them": _all_of(given)[""]}


def _of_type(given: Arguments) -> Mapping[str, Any]:
    names = given.get("type_list") or [given["type_"]]
    families = tuple(dict.fromkeys(_family(name) for name in names))
    return {"": OfType(column=given["column"], families=families)}


def _family(name: str) -> Family:
    known = name.lower().removeprefix("numpy.").removesuffix("_")
    for start, family in _TYPES.items():
        if known.startswith(start):
            return family
    what, expected = unknown_name("type of a column", name, _TYPES)
    raise DeclarationError(what, expected=expected)


def _columns(given: Arguments) -> Mapping[str, Any]:
    exactly = given.get("exact_match", True)
    return {"": Columns(names=tuple(given["column_set"]), exactly=exactly)}


def _other_table(given: Arguments) -> Mapping[str, Any]:
    rows = Aggregate(measure="rows")
    name = given["other_table_name"]
    return {
        "": Reconciliation(ours=rows, theirs=rows, dataset=name, by=(), tolerance=0.0, over="batch")
    }


_TYPES: Final[Mapping[str, Family]] = {
    "int": "integer", "uint": "integer", "bigint": "integer", "smallint": "integer",
    "tinyint": "integer", "long": "integer", "float": "float", "double": "float",
    "decimal": "float", "numeric": "float", "number": "float", "real": "float", "str": "string",
    "object": "string", "varchar": "string", "text": "string", "char": "string",
    "utf8": "string", "bool": "boolean", "datetime": "timestamp", "timestamp": "timestamp",
    "date": "date", "time": "time", "binary": "binary", "blob": "binary", "bytes": "binary",
}  # fmt: skip
_MAKE = Callable[[Arguments], Mapping[str, Any]]

BATCH: Final[Mapping[str, tuple[tuple[str, ...], tuple[str, ...], _MAKE]]] = {
    **{
        f"expect_column_{measure}_to_be_between": (COLUMN, BOUNDS, _aggregate(measure))
        for measure in ("max", "min", "mean", "median", "stdev", "sum")
    },
    "expect_column_unique_value_count_to_be_between": (COLUMN, BOUNDS, _aggregate("distinct")),
    "expect_column_proportion_of_unique_values_to_be_between": (
        COLUMN, BOUNDS, _aggregate("distinct share"),
    ),
    "expect_column_proportion_of_non_null_values_to_be_between": (
        COLUMN, BOUNDS, _aggregate("present share"),
    ),
    "expect_column_quantile_values_to_be_between": (
        (*COLUMN, "quantile_ranges"), ("allow_relative_error",), _quantiles,
    ),
    "expect_column_distinct_values_to_be_in_set": ((*COLUMN, "value_set"), (), _only),
    "expect_column_distinct_values_to_contain_set": ((*COLUMN, "value_set"), (), _all_of),
    "expect_column_distinct_values_to_equal_set": ((*COLUMN, "value_set"), (), _exactly),
    "expect_column_values_to_be_of_type": ((*COLUMN, "type_"), MOSTLY, _of_type),
    "expect_column_values_to_be_in_type_list": ((*COLUMN, "type_list"), MOSTLY, _of_type),
    "expect_column_to_exist": (
        COLUMN, (), lambda given: {"": Columns(names=(given["column"],))},
    ),
    "expect_table_columns_to_match_set": (("column_set",), ("exact_match",), _columns),
    "expect_table_columns_to_match_ordered_list": (
        LIST, (),
        lambda g: {"": Columns(names=tuple(g["column_list"]), exactly=True, ordered=True)},
    ),
    "expect_table_column_count_to_be_between": (
        (), ("min_value", "max_value"),
        lambda g: {"": ColumnCount(low=g.get("min_value"), high=g.get("max_value"))},
    ),
    "expect_table_column_count_to_equal": (
        ("value",), (), lambda g: {"": ColumnCount(low=g["value"], high=g["value"])},
    ),
    "expect_table_row_count_to_be_between": (
        (), BOUNDS, _aggregate("rows"),
    ),
    "expect_table_row_count_to_equal": (
        ("value",), (),
        lambda g: {"": Bounded(value=Aggregate(measure="rows"), low=g["value"], high=g["value"])},
    ),
    "expect_table_row_count_to_equal_other_table": (("other_table_name",), (), _other_table),
}  # fmt: skip
