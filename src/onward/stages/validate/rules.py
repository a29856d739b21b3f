"""Rules: checks bound to a batch's table, each with a version that follows its definition."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from onward.core import fingerprint
from onward.core.declarations import Check
from onward.core.errors import DeclarationError, Location, unknown_name
from onward.core.records import UNREADABLE

if TYPE_CHECKING:
    import ibis.expr.types as ir

READABLE: Final = "values are readable"
_COLUMN: Final = re.compile(r"[Cc]olumn '([^']+)'")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A rule as an expression over the batch: a boolean column, or a boolean scalar."""

    name: str
    version: str
    scope: Literal["row", "batch"]
    expression: ir.BooleanValue
    location: Location | None = None


def bind(checks: Sequence[Check], table: ir.Table, required: Sequence[str]) -> tuple[Rule, ...]:
    """Return the built-in rules and the declared ones, bound to `table`.

    Built in: every `required` column is present, and every value was readable as its type.

    Raises
    ------
    DeclarationError
        Two checks share a name, a column does not exist, or the expression does not fit the scope.
    """
    rules = [_present(table, name) for name in dict.fromkeys(required)]
    if UNREADABLE in table.columns:
        version = fingerprint.of_text(READABLE)
        expression = table[UNREADABLE].isnull()
        rules.append(Rule(name=READABLE, version=version, scope="row", expression=expression))
    for check in checks:
        if any(rule.name == check.name for rule in rules):
            raise DeclarationError(
                f"two checks have the name {check.name!r}",
                expected="a name of its own for each check of a table",
                location=check.location,
            )
        rules.append(_declared(check, table))
    return tuple(rules)


def _present(table: ir.Table, name: str) -> Rule:
    if name not in table.columns:
        raise _unknown_column(name, table, None)
    return Rule(
        name=f"{name} is present",
        version=fingerprint.of_text("is present", name),
        scope="row",
        expression=table[name].notnull(),
    )


def _declared(check: Check, table: ir.Table) -> Rule:
    import ibis.expr.types as ir

    expression = _resolved(check, table)
    if not isinstance(expression, ir.BooleanValue):
        kind = expression.type() if isinstance(expression, ir.Value) else type(expression).__name__
        raise _misfit(check, f"gives {kind}", "a boolean, such as _.distance > 0")
    scalar = isinstance(expression, ir.Scalar)
    if check.scope == "row" and scalar:
        raise _misfit(
            check, "gives one value for all rows", "a value per row; for one see ow.batch_check"
        )
    if check.scope == "batch" and not scalar:
        raise _misfit(
            check,
            "gives a value per row",
            "an aggregate, such as _.count() > 100; for rows see ow.check",
        )
    return Rule(
        name=check.name,
        version=fingerprint.of_rule(check.rule),
        scope=check.scope,
        expression=expression,
        location=check.location,
    )


def _resolved(check: Check, table: ir.Table) -> Any:
    from ibis import Deferred

    try:
        if isinstance(check.rule, Deferred):
            return table.bind(check.rule)[0]
        return check.rule(table) if callable(check.rule) else check.rule
    except Exception as error:  # the user's own code may raise anything
        name = _missing_column(error, table)
        if name is not None:
            raise _unknown_column(name, table, check) from None
        raise DeclarationError(
            f"check {check.name!r} cannot be evaluated: {error}",
            expected=f"an Ibis expression over: {', '.join(_visible(table))}",
            location=check.location,
        ) from error


def _missing_column(error: Exception, table: ir.Table) -> str | None:
    import ibis.expr.types as ir

    if isinstance(error, AttributeError) and isinstance(error.obj, ir.Table):
        return error.name
    found = _COLUMN.search(str(error))
    return found[1] if found and found[1] not in table.columns else None


def _unknown_column(name: str, table: ir.Table, check: Check | None) -> DeclarationError:
    what, expected = unknown_name("column", name, _visible(table))
    return DeclarationError(
        f"check {check.name!r}: {what}" if check else what,
        expected=expected,
        location=check.location if check else None,
    )


def _misfit(check: Check, gives: str, expected: str) -> DeclarationError:
    return DeclarationError(
        f"{check.scope} check {check.name!r} {gives}", expected=expected, location=check.location
    )


def _visible(table: ir.Table) -> list[str]:
    return [name for name in table.columns if name != UNREADABLE]
