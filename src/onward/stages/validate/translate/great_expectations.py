"""Great Expectations' common expectations as checks that DuckDB evaluates with all others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from onward.core.declarations import Check
from onward.core.errors import DeclarationError, Location, unknown_name
from onward.stages.validate.rules.keys import Unique
from onward.stages.validate.rules.measured import Share
from onward.stages.validate.rules.reconciliation import Reconciliation
from onward.stages.validate.rules.values import Counted, Values, portable
from onward.stages.validate.translate.batch_expectations import BATCH
from onward.stages.validate.translate.row_expectations import ROWS, Arguments, Rule
from onward.stages.validate.translate.suite import Expectation, read

KNOWN: Final[Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    name: (needed, possible)
    for table in (ROWS, BATCH)
    for name, (needed, possible, _) in table.items()
}
"""The expectations that are translated, with the arguments they need and those they may have."""


def checks_of(path: Path, declared: Location | None) -> tuple[Check, ...]:
    """Return a suite's expectations as checks, in their order.

    Raises
    ------
    DeclarationError
        The file is no suite; an expectation, or an argument of one, is not known here.
    """
    return tuple(check for expectation in read(path, declared) for check in _checks(expectation))


def _checks(expectation: Expectation) -> Sequence[Check]:
    name = expectation.name
    if name not in KNOWN:
        what, _ = unknown_name("expectation", name, KNOWN)
        raise DeclarationError(
            f"{what} that Onward translates",
            expected=f"one of: {', '.join(sorted(KNOWN))}",
            next_step="take it out of the suite and say it as ow.check, ow.batch_check or "
            "ow.python_check",
            location=expectation.location,
        )
    given = {k: v for k, v in expectation.arguments.items() if v is not None}
    _require_arguments(expectation, given)
    _require_portable(expectation, given)
    try:
        if name in ROWS:
            *_, make_rule = ROWS[name]
            return [_row_check(expectation, make_rule(given), given.get("mostly", 1.0))]
        *_, make_rules = BATCH[name]
        rules = make_rules(given)
    except DeclarationError as error:
        error.location = error.location or expectation.location
        raise
    return [_check(expectation, rule, "batch", title) for title, rule in rules.items()]


def _require_arguments(expectation: Expectation, given: Arguments) -> None:
    name = expectation.name
    needed, possible = KNOWN[name]
    for key in given:
        if key not in (*needed, *possible):
            what, expected = unknown_name(f"argument of {name}", key, (*needed, *possible))
            raise DeclarationError(
                f"{what} that Onward translates", expected=expected, location=expectation.location
            )
    for key in needed:
        if key not in given:
            raise DeclarationError(
                f"{name} lacks {key!r}",
                expected=f"its arguments: {', '.join(needed)}",
                location=expectation.location,
            )


def _require_portable(expectation: Expectation, given: Arguments) -> None:
    patterns = [given["regex"]] if "regex" in given else given.get("regex_list", ())
    for pattern in patterns:
        if not portable(pattern):
            raise DeclarationError(
                f"{expectation.name} has an expression that DuckDB cannot match: {pattern}",
                expected="a regular expression without looking around or back references",
                next_step="take it out of the suite and say it as ow.python_check",
                location=expectation.location,
            )


def _row_check(expectation: Expectation, rule: Rule, mostly: float) -> Check:
    """Return a rule on rows, or, where mostly is less than all, on their share."""
    if mostly >= 1:
        return _check(expectation, rule, "row")
    if isinstance(rule, Unique):
        among: Any = Values(column=rule.columns[0], test="present")
        return _check(expectation, Share(rule=rule, at_least=mostly, among=among), "batch")
    whole = isinstance(rule, Values) and rule.test in ("present", "absent")
    counted = None if whole else Counted(rule=rule)
    return _check(expectation, Share(rule=rule, at_least=mostly, among=counted), "batch")


def _check(expectation: Expectation, rule: Any, scope: Any, title: str = "") -> Check:
    return Check(
        name=expectation.title + (f" {title}" if title else ""),
        rule=rule,
        scope=scope,
        severity="warn" if expectation.warns else None,
        reads=(rule.dataset,) if isinstance(rule, Reconciliation) and rule.dataset else (),
        location=expectation.location,
    )
