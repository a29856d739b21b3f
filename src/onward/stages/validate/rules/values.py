"""Tests on values, by name: rules that are translated from elsewhere, as plain records."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add, and_, or_
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    import ibis.expr.types as ir

Ignore = Literal["any", "all", "none"]

# What Python's `re` has and DuckDB's RE2 has not: looking around, going back, not going back.
_BEYOND_RE2: Final = re.compile(r"\(\?(?:[=!>(]|<[=!]|P=)|\\[1-9]|[*+?}]\+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Values:
    """Each value of `column` passes the test; one that is missing (NULL, NaN) does.

    With `pattern`, `column` is a regular expression, and the rule is on every column whose whole
    name matches. A column that is `optional` need not exist.
    """

    column: str
    test: str
    arguments: tuple[Any, ...] = ()
    pattern: bool = False
    optional: bool = False

    def __call__(self, table: ir.Table) -> ir.BooleanValue:
        names = [self.column]
        if self.pattern:
            names = [n for n in table.columns if n[0] != "_" and re.fullmatch(self.column, n)]
        elif self.optional and self.column not in table.columns:
            names = []
        tested = [self._tested(table[name]) for name in names]
        # With nothing to test every row holds the rule, and still there must be one per row.
        first = table[table.columns[0]].isnull()
        return reduce(and_, tested) if tested else first | ~first

    def _tested(self, column: ir.Column) -> ir.BooleanValue:
        if self.test == "present":
            return ~absent(column)
        if self.test == "absent":
            return absent(column)
        fitted = [_fit(column, argument) for argument in self.arguments]
        return absent(column) | TESTS[self.test](column, *fitted)


@dataclass(frozen=True, slots=True, kw_only=True)
class Across:
    """The values of `columns` in one row pass the test together.

    A row is passed over, and holds the rule, where `ignore` says so: ``any`` of the values is
    missing, ``all`` are, or ``none`` to judge every row.
    """

    columns: tuple[str, ...]
    test: str
    arguments: tuple[Any, ...] = ()
    ignore: Ignore = "all"

    def __call__(self, table: ir.Table) -> ir.BooleanValue:
        columns = [table[name] for name in self.columns]
        tested = ACROSS[self.test](columns, *self.arguments)
        if self.ignore == "none":
            return tested
        missing = reduce(or_ if self.ignore == "any" else and_, map(absent, columns))
        return missing | tested.fill_null(False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """Whether a row counts for a share: `rule` does not pass it over as missing."""

    rule: Values | Across

    def __call__(self, table: ir.Table) -> ir.BooleanValue:
        if isinstance(self.rule, Values):
            return ~absent(table[self.rule.column])
        missing = map(absent, (table[name] for name in self.rule.columns))
        return ~reduce(or_ if self.rule.ignore == "any" else and_, missing)


@dataclass(frozen=True, slots=True, kw_only=True)
class Aggregate:
    """A number of the batch: `measure` of the column's values that are not missing."""

    measure: str
    column: str = ""
    argument: Any = None

    def __call__(self, table: ir.Table) -> ir.Scalar:
        if self.measure == "rows":
            return table.count()
        column = table[self.column]
        known = absent(column).ifelse(_null_of(column), column)
        return AGGREGATES[self.measure](known, self.argument)


def absent(column: ir.Column) -> ir.BooleanValue:
    """Return where a value is missing: NULL, or NaN as pandas has it."""
    missing = column.isnull()
    return missing | column.isnan() if column.type().is_floating() else missing


def portable(pattern: str) -> bool:
    """Tell whether DuckDB's regular expressions have what this one uses."""
    return _BEYOND_RE2.search(pattern) is None


def between(
    value: Any, low: Any, high: Any, strict_low: bool = False, strict_high: bool = False
) -> Any:
    """Return whether a value is within bounds; a bound that is None is none."""
    bounds = []
    if low is not None:
        bounds.append(value > low if strict_low else value >= low)
    if high is not None:
        bounds.append(value < high if strict_high else value <= high)
    return reduce(and_, bounds) if bounds else value.notnull()


def _fit(column: ir.Column, argument: Any) -> Any:
    """Return a literal as the column's type has it: JSON knows no times."""
    import ibis

    if isinstance(argument, tuple):
        return [_fit(column, item) for item in argument if item is not None]
    kind = column.type()
    temporal = kind.is_timestamp() or kind.is_date() or kind.is_time()
    return ibis.literal(argument).cast(kind) if temporal and argument is not None else argument


def _null_of(column: ir.Column) -> ir.Scalar:
    import ibis

    return ibis.null(column.type())


def _like_any(column: ir.StringColumn, patterns: Sequence[str]) -> ir.BooleanValue:
    return reduce(or_, (column.like(p) for p in patterns))


def _spread(column: ir.NumericColumn, limit: float, both: bool) -> ir.BooleanValue:
    score = (column - column.mean()) / column.std(how="sample")
    return (score.abs() if both else score) < limit


TESTS: Final[Mapping[str, Callable[..., Any]]] = {
    "equal": lambda c, v: c == v,
    "not equal": lambda c, v: c != v,
    "above": lambda c, v: c > v,
    "at least": lambda c, v: c >= v,
    "below": lambda c, v: c < v,
    "at most": lambda c, v: c <= v,
    "between": between,
    "in": lambda c, v: c.isin(v),
    "not in": lambda c, v: ~c.isin(v),
    "matches": lambda c, p: c.re_search(p),
    "matches not": lambda c, p: ~c.re_search(p),
    "matches any": lambda c, ps: reduce(or_, (c.re_search(p) for p in ps)),
    "matches all": lambda c, ps: reduce(and_, (c.re_search(p) for p in ps)),
    "matches none": lambda c, ps: ~reduce(or_, (c.re_search(p) for p in ps)),
    "like any": _like_any,
    "like all": lambda c, ps: reduce(and_, (c.like(p) for p in ps)),
    "like none": lambda c, ps: ~_like_any(c, ps),
    "starts with": lambda c, v: c.startswith(v),
    "ends with": lambda c, v: c.endswith(v),
    "length": lambda c, low, high, *strict: between(c.length(), low, high, *strict),
    "z score": _spread,
}

ACROSS: Final[Mapping[str, Callable[..., Any]]] = {
    "equal": lambda cs: cs[0] == cs[1],
    "above": lambda cs, or_equal: cs[0] >= cs[1] if or_equal else cs[0] > cs[1],
    "pair in": lambda cs, pairs: reduce(
        or_, ((cs[0].identical_to(a)) & (cs[1].identical_to(b)) for a, b in pairs)
    ),
    "sum": lambda cs, total: reduce(add, cs) == total,
    "distinct": lambda cs: reduce(
        and_, (~a.identical_to(b) for i, a in enumerate(cs) for b in cs[i + 1 :])
    ),
}

AGGREGATES: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "max": lambda c, _: c.max(),
    "min": lambda c, _: c.min(),
    "mean": lambda c, _: c.mean(),
    "median": lambda c, _: c.median(),
    "stdev": lambda c, _: c.std(how="sample"),
    "sum": lambda c, _: c.sum(),
    "quantile": lambda c, q: c.quantile(q),
    "distinct": lambda c, _: c.nunique(),
    "distinct share": lambda c, _: c.nunique() / c.count().nullif(0),
    "present share": lambda c, _: c.notnull().mean(),
    "distinct among": lambda c, values: c.nunique(where=c.isin(_fit(c, values))),
}
