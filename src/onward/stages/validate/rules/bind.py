"""Binding: the built-in rules and a user's checks over one opened batch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import is_dataclass
from typing import TYPE_CHECKING, Any, Final

from onward.core import fingerprint
from onward.core.declarations import Check
from onward.core.errors import DeclarationError
from onward.core.records import UNREADABLE
from onward.stages.validate.opened import Opened
from onward.stages.validate.rules.keys import marked
from onward.stages.validate.rules.python import answered
from onward.stages.validate.rules.rule import (
    BatchRule,
    RowRule,
    Rule,
    Verdict,
    batch_rule,
    misfit,
    require_columns,
    resolve,
    row_rule,
)

if TYPE_CHECKING:
    import ibis.expr.types as ir

READABLE: Final = "values are readable"


def bind(
    checks: Sequence[Check], seen: Opened, required: Sequence[str]
) -> tuple[Opened, tuple[Rule, ...]]:
    """Return the built-in rules and the declared ones, over the batch with what they need.

    Built in: every `required` column is present, and every value was readable as its type.

    Raises
    ------
    DeclarationError
        Two checks share a name, a column does not exist, or the expression does not fit the scope.
    """
    taken = [_presence(name) for name in required]
    if UNREADABLE in seen.table.columns:
        taken.append(READABLE)
    require_distinct(checks, taken)
    seen = marked(answered(seen, checks), checks)
    table = seen.table
    rules: list[Rule] = [_present(table, name) for name in dict.fromkeys(required)]
    if UNREADABLE in table.columns:
        rules.append(_built_in(READABLE, (READABLE,), table[UNREADABLE].isnull()))
    return seen, (*rules, *(_declared(check, seen) for check in checks))


def require_distinct(checks: Sequence[Check], taken: Iterable[str] = ()) -> None:
    """Refuse a check with the name of another, or one that is `taken`."""
    names = set(taken)
    for check in checks:
        if check.name in names:
            raise DeclarationError(
                f"two checks have the name {check.name!r}",
                expected="a name of its own for each check of a table",
                location=check.location,
            )
        names.add(check.name)


def _presence(column: str) -> str:
    return f"{column} is present"


def _present(table: ir.Table, name: str) -> RowRule:
    require_columns((name,), table, None)
    return _built_in(_presence(name), ("is present", name), table[name].notnull())


def _built_in(name: str, definition: tuple[str, ...], expression: ir.BooleanValue) -> RowRule:
    version = fingerprint.of_text(*definition)
    return RowRule(name=name, version=version, severity="quarantine", expression=expression)


def _binds(check: Check) -> bool:
    # Asked of the type: an Ibis expression on ``_`` has every attribute that it is asked for.
    kind = type(check.rule)
    return is_dataclass(kind) and hasattr(kind, "bind")


def _declared(check: Check, seen: Opened) -> Rule:
    if _binds(check):
        rule: Rule = check.rule.bind(check, seen)
        return rule
    return _expression(check, resolve(check.rule, seen.table, check))


def _expression(check: Check, expression: Any) -> RowRule | BatchRule:
    import ibis.expr.types as ir

    if not isinstance(expression, ir.BooleanValue):
        kind = expression.type() if isinstance(expression, ir.Value) else type(expression).__name__
        raise misfit(check, f"gives {kind}", "a boolean, such as _.distance > 0")
    scalar = isinstance(expression, ir.Scalar)
    if check.scope == "row":
        if scalar:
            raise misfit(
                check, "gives one value for all rows", "a value per row; for one see ow.batch_check"
            )
        return row_rule(check, expression)
    if not scalar:
        raise misfit(
            check,
            "gives a value per row",
            "an aggregate, such as _.count() > 100; for rows see ow.check",
        )
    return batch_rule(check, expression, _true)


def _true(value: Any) -> Verdict:
    return Verdict(passed=value is True)
