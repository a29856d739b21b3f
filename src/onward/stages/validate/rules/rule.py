"""Rules: checks bound to a batch's table, each with a version that follows its definition."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

from onward.core.declarations import Check, Severity
from onward.core.errors import DeclarationError, Location, unknown_name
from onward.stages.validate.opened import Opened

if TYPE_CHECKING:
    import ibis.expr.types as ir

_COLUMN: Final = re.compile(r"[Cc]olumn '([^']+)'")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether a rule holds on a batch; `offenders` are the rows that break a row rule."""

    passed: bool
    detail: str = ""
    offenders: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RowRule:
    """A rule as a boolean column of the batch; NULL counts as false."""

    name: str
    version: str
    severity: Severity
    expression: ir.BooleanValue
    location: Location | None = None
    scope: Literal["row"] = "row"


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRule:
    """A rule as a number of the batch, and what is to be said of it.

    The judge is given the value of the aggregate `measure`, or the share of `share` that is true,
    NULL left out, or, without either, None: it knows, or finds out by itself.
    """

    name: str
    version: str
    severity: Severity
    measure: ir.Scalar | None
    judge: Callable[[Any], Verdict]
    share: ir.BooleanColumn | None = None
    location: Location | None = None
    scope: Literal["batch"] = "batch"


Rule = RowRule | BatchRule


class Kind(Protocol):
    """What a check's rule can be besides an expression: a frozen record that binds itself."""

    def bind(self, check: Check, seen: Opened) -> Rule:
        """Return the rule over the opened batch.

        Raises
        ------
        DeclarationError
            It does not fit the batch's columns.
        """
        ...


def row_rule(check: Check, expression: ir.BooleanValue) -> RowRule:
    """Return `check` as a rule on rows."""
    return RowRule(
        name=check.name,
        version=check.version,
        severity=check.severity or "quarantine",
        expression=expression,
        location=check.location,
    )


def batch_rule(
    check: Check,
    measure: ir.Scalar | None,
    judge: Callable[[Any], Verdict],
    *,
    share: ir.BooleanColumn | None = None,
) -> BatchRule:
    """Return `check` as a rule on the batch."""
    return BatchRule(
        name=check.name,
        version=check.version,
        severity=check.severity or "hold",
        measure=measure,
        judge=judge,
        share=share,
        location=check.location,
    )


def resolve(rule: Any, table: ir.Table, check: Check) -> Any:
    """Return what an expression on ``_``, or a function of the table, gives for `table`.

    Raises
    ------
    DeclarationError
        It raises; a column that does not exist is named with the closest that does.
    """
    from ibis import Deferred

    try:
        if isinstance(rule, Deferred):
            return table.bind(rule)[0]
        return rule(table) if callable(rule) else rule
    except Exception as error:  # the user's own code may raise anything
        name = _missing_column(error, table)
        if name is not None:
            raise unknown_column(name, table, check) from None
        raise DeclarationError(
            f"check {check.name!r} cannot be evaluated: {error}",
            expected=f"an Ibis expression over: {', '.join(_visible(table))}",
            location=check.location,
        ) from error


def require_columns(
    names: tuple[str, ...], table: ir.Table, check: Check | None, *, of: str = ""
) -> None:
    """Refuse names that are no columns of `table`, the dataset `of` unless it is the batch.

    Raises
    ------
    DeclarationError
        One is not; the closest that is one is named.
    """
    for name in names:
        if name not in _visible(table):
            raise unknown_column(name, table, check, of=of)


def unknown_column(
    name: str, table: ir.Table, check: Check | None, *, of: str = ""
) -> DeclarationError:
    """Return the error for a column that `table` does not have."""
    what, expected = unknown_name(f"column of {of!r}" if of else "column", name, _visible(table))
    return DeclarationError(
        f"check {check.name!r}: {what}" if check else what,
        expected=expected,
        location=check.location if check else None,
    )


def misfit(check: Check, gives: str, expected: str) -> DeclarationError:
    """Return the error for a rule that gives something else than its scope needs."""
    scope = f"{check.scope} check" if check.scope else "check"
    return DeclarationError(
        f"{scope} {check.name!r} {gives}", expected=expected, location=check.location
    )


def _missing_column(error: Exception, table: ir.Table) -> str | None:
    import ibis.expr.types as ir

    if isinstance(error, AttributeError) and isinstance(error.obj, ir.Table):
        return error.name
    found = _COLUMN.search(str(error))
    return found[1] if found and found[1] not in table.columns else None


def _visible(table: ir.Table) -> list[str]:
    return [name for name in table.columns if not name.startswith("_")]
