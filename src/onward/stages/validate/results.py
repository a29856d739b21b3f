"""Results: what an audit says of each rule, in a record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from onward.core.records import RuleResult
from onward.core.wording import counted
from onward.stages.validate.rules.rule import Rule, Verdict


def results(
    rules: Sequence[Rule], counts: Mapping[str, int], whole: Mapping[str, Verdict], rows: int
) -> tuple[RuleResult, ...]:
    """Return a result per rule: `counts` has the offenders of rules that quarantine, by name,
    `whole` what was found of all others on the batch's `rows`.
    """
    return tuple(_result(rule, _verdict(rule, counts, whole), rows) for rule in rules)


def _verdict(rule: Rule, counts: Mapping[str, int], whole: Mapping[str, Verdict]) -> Verdict:
    if rule.name in whole:
        return whole[rule.name]
    return Verdict(passed=counts[rule.name] == 0, offenders=counts[rule.name])


def _result(rule: Rule, verdict: Verdict, rows: int) -> RuleResult:
    detail = verdict.detail
    if verdict.offenders:
        detail = f"{verdict.offenders:,} of {counted(rows, 'row')}"
    elif not verdict.passed and not detail and rule.severity == "hold":
        detail = "the whole batch is held"
    return RuleResult(
        rule=rule.name,
        version=rule.version,
        scope=rule.scope,
        passed=verdict.passed,
        offenders=verdict.offenders,
        detail=detail,
        severity=rule.severity,
    )
