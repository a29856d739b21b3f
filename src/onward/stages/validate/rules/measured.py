"""Rules on a number of the batch: a share of rows, an aggregate within bounds, the newest time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from onward.core.declarations import Check
from onward.stages.validate.opened import Opened, holds
from onward.stages.validate.rules.keys import Unique
from onward.stages.validate.rules.rule import (
    BatchRule,
    Verdict,
    batch_rule,
    misfit,
    require_columns,
    resolve,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """The share of rows for which `rule` is true is `at_least` so much; of no rows it is 1.

    `rule` is an expression or a function of the table, or `Unique`. `among` is a rule that says
    which rows count; all, unless given.
    """

    rule: Any
    at_least: float
    among: Any = None

    def bind(self, check: Check, seen: Opened) -> BatchRule:
        import ibis
        import ibis.expr.types as ir

        if isinstance(self.rule, Unique):
            rule = seen.table[holds(check.name)]
        else:
            rule = resolve(self.rule, seen.table, check)
        if not isinstance(rule, ir.BooleanColumn):
            raise misfit(check, "takes a share of what is no boolean per row", "such as _.x > 0")
        share = rule.fill_null(False)
        if self.among is not None:
            share = resolve(self.among, seen.table, check).ifelse(share, ibis.null("boolean"))

        def judge(share: float | None) -> Verdict:
            if share is None or share >= self.at_least:
                return Verdict(passed=True)
            detail = f"{_percent(share)} of the rows, {_percent(self.at_least)} are asked for"
            return Verdict(passed=False, detail=detail)

        return batch_rule(check, None, judge, share=share)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounded:
    """The aggregate `value` is between `low` and `high`, these included unless `strict`.

    A value that is NULL, as of no rows, is not.
    """

    value: Any
    low: Any = None
    high: Any = None
    strict_low: bool = False
    strict_high: bool = False

    def bind(self, check: Check, seen: Opened) -> BatchRule:
        import ibis.expr.types as ir

        measure = resolve(self.value, seen.table, check)
        if not isinstance(measure, ir.Scalar):
            raise misfit(check, "measures no single value", "an aggregate, such as _.x.mean()")
        return batch_rule(check, measure, self._judge)

    def _judge(self, value: Any) -> Verdict:
        passed = value is not None and self._above(value) and self._below(value)
        expected = " and ".join(
            f"{word} {bound}"
            for word, bound in (
                ("above" if self.strict_low else "at least", self.low),
                ("below" if self.strict_high else "at most", self.high),
            )
            if bound is not None
        )
        return Verdict(passed=passed, detail="" if passed else f"{_plain(value)}, not {expected}")

    def _above(self, value: Any) -> bool:
        if self.low is None:
            return True
        low = _fit(self.low, value)
        return bool(value > low if self.strict_low else value >= low)

    def _below(self, value: Any) -> bool:
        if self.high is None:
            return True
        high = _fit(self.high, value)
        return bool(value < high if self.strict_high else value <= high)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fresh:
    """The newest time in `column` is no older, at the audit, than `within`."""

    column: str
    within: timedelta

    def bind(self, check: Check, seen: Opened) -> BatchRule:
        require_columns((self.column,), seen.table, check)
        column = seen.table[self.column]
        if not (column.type().is_timestamp() or column.type().is_date()):
            raise misfit(check, f"looks at {self.column!r}, which is {column.type()}", "a time")
        at = seen.baseline.at

        def judge(newest: datetime | date | None) -> Verdict:
            if newest is None:
                return Verdict(passed=False, detail=f"{self.column} holds no time")
            age = at - _moment(newest)
            if age <= self.within:
                return Verdict(passed=True)
            return Verdict(passed=False, detail=f"the newest is {age} old, {self.within} is asked")

        return batch_rule(check, column.max(), judge)


def _fit(bound: Any, value: Any) -> Any:
    """Return a bound that is written as text as the time that it says."""
    if isinstance(bound, str) and isinstance(value, datetime):
        return _moment(datetime.fromisoformat(bound))
    return (
        date.fromisoformat(bound) if isinstance(bound, str) and isinstance(value, date) else bound
    )


def _moment(found: datetime | date) -> datetime:
    if not isinstance(found, datetime):
        found = datetime.combine(found, time())
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _percent(share: float) -> str:
    return f"{100 * share:.4g} %"


def _plain(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
