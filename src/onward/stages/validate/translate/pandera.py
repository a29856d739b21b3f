"""A Pandera schema as checks: what it says by name in DuckDB, what it says in code in Python."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import FunctionType
from typing import Any, Final

from onward.core import fingerprint
from onward.core.declarations import Check
from onward.core.errors import DeclarationError, Location
from onward.stages.validate.rules.columns import Columns, Family, OfType
from onward.stages.validate.rules.keys import Unique
from onward.stages.validate.rules.python import Given, Python
from onward.stages.validate.rules.values import Values, portable

_KEEPS: Final = {"exclude_first": "first", "exclude_last": "last"}


def checks_of(schema: Any, location: Location | None) -> tuple[Check, ...]:
    """Return the checks of a ``DataFrameSchema`` or a ``DataFrameModel``, for pandas or polars.

    Raises
    ------
    DeclarationError
        It is no such schema, or it has an index, which no table has.
    """
    if isinstance(schema, type) and hasattr(schema, "to_schema"):
        schema = schema.to_schema()
    if not (type(schema).__module__.startswith("pandera.") and hasattr(schema, "columns")):
        raise DeclarationError(
            f"{schema!r} is no Pandera schema of a table",
            expected="a DataFrameSchema, or a class that is a DataFrameModel",
            location=location,
        )
    if getattr(schema, "index", None) is not None:
        raise DeclarationError(
            "the Pandera schema has an index, which no table has",
            expected="a schema whose rules are on columns",
            next_step="declare the index's levels as columns",
            location=location,
        )
    seen: Counter[str] = Counter()
    found = []
    for check in _schema(schema):
        seen[check.name] += 1
        again = f" ({seen[check.name]})" if seen[check.name] > 1 else ""
        found.append(replace(check, name=check.name + again, location=location))
    return tuple(found)


def _schema(schema: Any) -> Iterator[Check]:
    given: Given = "polars" if ".polars." in type(schema).__module__ else "pandas"
    plain = {name: column for name, column in schema.columns.items() if not column.regex}
    needed = tuple(name for name, column in plain.items() if column.required)
    strict = schema.strict is True and len(plain) == len(schema.columns)
    if needed or strict:
        optional = tuple(name for name in plain if name not in needed)
        columns = Columns(
            names=needed, optional=optional, exactly=strict, ordered=bool(schema.ordered)
        )
        yield Check(name="columns of the schema", rule=columns, scope="batch")
    for name, column in schema.columns.items():
        yield from _column(name, column, given)
    for check in schema.checks:
        yield _in_python("rows", check, given, None)
    if schema.unique:
        yield _unique(tuple(schema.unique), schema.report_duplicates)


def _column(name: str, column: Any, given: Given) -> Iterator[Check]:
    optional = not column.required

    def test(kind: str, *arguments: Any) -> Values:
        return Values(
            column=name, test=kind, arguments=arguments, pattern=column.regex, optional=optional
        )

    family = None if column.coerce or column.regex else _family(column.dtype)
    if family is not None:
        rule = OfType(column=name, families=(family,), optional=optional)
        yield Check(name=f"{name}: {column.dtype}", rule=rule, scope="batch")
    if not column.nullable:
        yield Check(name=f"{name}: not nullable", rule=test("present"), scope="row")
    categories = getattr(column.dtype, "categories", None)
    if categories is not None:
        yield Check(name=f"{name}: category", rule=test("in", tuple(categories)), scope="row")
    if column.unique:
        yield _unique((name,), column.report_duplicates)
    for check in column.checks:
        found = _named(check)
        if found is None or not check.ignore_na:
            if column.regex:
                raise _untranslatable(name, check)
            yield _in_python(name, check, given, name)
            continue
        kind, arguments = found
        yield Check(
            name=f"{name}: {_title(check)}",
            rule=test(kind, *arguments),
            scope="row",
            severity="warn" if check.raise_warning else None,
        )


def _unique(columns: tuple[str, ...], report: str) -> Check:
    keep: Any = _KEEPS.get(report, "none")
    by = None if keep == "none" else columns[0]
    rule = Unique(columns=columns, keep=keep, by=by, published=False)
    return Check(name=f"{', '.join(columns)}: unique", rule=rule, scope="row")


# ---------------------------------------------------------------- by name

_Translated = tuple[str, tuple[Any, ...]]


def _named(check: Any) -> _Translated | None:
    """Return a built-in check's test and arguments; None for what only Python can say."""
    make = _NAMED.get(check.name) if _built_in(check) else None
    found = make(check.statistics) if make else None
    if found is not None and found[0] == "matches" and not portable(found[1][0]):
        return None
    return found


def _built_in(check: Any) -> bool:
    """Tell whether Pandera itself defines what the check does: it dispatches by kind of table."""
    return not isinstance(_function(check), FunctionType) and check.groupby is None


def _function(check: Any) -> Any:
    return check._check_fn  # noqa: SLF001 (what it does is in no public attribute)


def _in_range(said: Mapping[str, Any]) -> _Translated:
    strict = not said.get("include_min", True), not said.get("include_max", True)
    return "between", (said["min_value"], said["max_value"], *strict)


def _length(said: Mapping[str, Any]) -> _Translated:
    exact = said.get("exact_value")
    if exact is not None:
        return "length", (exact, exact)
    return "length", (said.get("min_value"), said.get("max_value"))


def _pattern(said: Mapping[str, Any], start: str) -> _Translated | None:
    pattern = said["pattern"]
    if not isinstance(pattern, str):
        if pattern.flags & ~_UNICODE:
            return None
        pattern = pattern.pattern
    return "matches", (f"{start}(?:{pattern})",)


def _set(test: str, said: Mapping[str, Any], key: str) -> _Translated:
    return test, (tuple(sorted(said[key], key=repr)),)


_UNICODE: Final = 32  # re.UNICODE, which every compiled text pattern has
_NAMED: Final[Mapping[str, Callable[[Mapping[str, Any]], _Translated | None]]] = {
    "equal_to": lambda s: ("equal", (s["value"],)),
    "not_equal_to": lambda s: ("not equal", (s["value"],)),
    "greater_than": lambda s: ("above", (s["min_value"],)),
    "greater_than_or_equal_to": lambda s: ("at least", (s["min_value"],)),
    "less_than": lambda s: ("below", (s["max_value"],)),
    "less_than_or_equal_to": lambda s: ("at most", (s["max_value"],)),
    "in_range": _in_range,
    "isin": lambda s: _set("in", s, "allowed_values"),
    "notin": lambda s: _set("not in", s, "forbidden_values"),
    "str_matches": lambda s: _pattern(s, "^"),
    "str_contains": lambda s: _pattern(s, ""),
    "str_startswith": lambda s: ("starts with", (s["string"],)),
    "str_endswith": lambda s: ("ends with", (s["string"],)),
    "str_length": _length,
}


def _family(dtype: Any) -> Family | None:
    """Return the family of a Pandera type; None for one that says nothing of values here."""
    if dtype is None:
        return None
    from pandera import dtypes

    known: tuple[tuple[Callable[[Any], bool], Family], ...] = (
        (dtypes.is_bool, "boolean"),
        (dtypes.is_int, "integer"),
        (dtypes.is_float, "float"),
        (dtypes.is_string, "string"),
        (dtypes.is_datetime, "timestamp"),
    )
    return next((family for holds, family in known if holds(dtype)), None)


# ---------------------------------------------------------------- in Python


@dataclass(frozen=True, slots=True, kw_only=True)
class InPython:
    """A Pandera check asked of a table by Pandera itself; `code` says what it does."""

    title: str
    code: str
    column: str | None
    given: Given
    check: Any = field(compare=False, repr=False)

    def __call__(self, table: Any) -> Any:
        if self.given == "pandas":
            return self._of_pandas(table)
        found = self.check(table.lazy(), self.column).check_output.collect()
        answers = found.select(found.columns[-1]).to_series()
        return bool(answers[0]) if len(answers) == 1 and len(table) != 1 else answers

    def _of_pandas(self, table: Any) -> Any:
        found = self.check(table, self.column).check_output
        if hasattr(found, "columns"):
            found = found.all(axis=1)
        if not hasattr(found, "reindex"):
            return bool(found)
        # What is missing was not asked about.
        return found.reindex(table.index, fill_value=self.check.ignore_na)


def _in_python(subject: str, check: Any, given: Given, column: str | None) -> Check:
    function = InPython(
        title=_title(check), code=_code(check), column=column, given=given, check=check
    )
    alone = column is not None and check.groupby is None
    return Check(
        name=f"{subject}: {_title(check)}, in Python",
        rule=Python(function=function, given=given, columns=(str(column),) if alone else None),
        scope=None,
        severity="warn" if check.raise_warning else None,
    )


def _title(check: Any) -> str:
    return str(check.error or check.name or "check")


def _code(check: Any) -> str:
    function = _function(check)
    body = fingerprint.of_function(function) if isinstance(function, FunctionType) else check.name
    return fingerprint.of_text(body, sorted(check.statistics.items()), check.element_wise)


def _untranslatable(name: str, check: Any) -> DeclarationError:
    return DeclarationError(
        f"check {_title(check)!r} is in Python and on every column that matches {name!r}",
        expected="a built-in check of Pandera where a column's name is a pattern",
        next_step="give each column a check of its own",
    )
