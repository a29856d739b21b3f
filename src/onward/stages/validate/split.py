"""The split: offenders on one side, with the rules they break, and the good rows on the other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce
from operator import and_
from typing import TYPE_CHECKING, Any, Final

from onward.core.disk import full_disk_told
from onward.core.errors import DataError
from onward.core.records import ROW
from onward.stages.validate.opened import published
from onward.stages.validate.rules.rule import BatchRule, RowRule, Rule, Verdict

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import pyarrow as pa
    from ibis.backends.duckdb import Backend

_OFFENDERS: Final = "_offenders"


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """`offenders` has the batch's columns and ``_rule_<i>``, whether row rule i holds; `counts`
    is how many rows break each rule that quarantines, by name; `good` has what is published.
    """

    offenders: ir.Table
    total: int
    counts: Mapping[str, int]
    good: ir.Table


def split(connection: Backend, table: ir.Table, rules: Sequence[Rule]) -> Split:
    """Evaluate every row rule that quarantines in one pass; only the offenders are kept.

    NULL counts as false. The good rows are a query, run when it is read.

    Raises
    ------
    DataError
        A rule fails on a value.
    """
    rows = _parting(rules)
    holds = {_flag(i): rule.expression.fill_null(False) for i, rule in enumerate(rows)}
    own = published(table.columns)
    if not rows:
        nothing = table.limit(0)
        return Split(offenders=nothing, total=0, counts={}, good=table.select(own))
    # Flags first, then one filter on them: were a rule with a window filtered beside the others,
    # its window would see only the rows that the others leave.
    judged = table.mutate(**holds)
    passes = reduce(and_, (judged[flag] for flag in holds))
    broken = judged.filter(~passes)
    with _blamed(table, rows):
        offenders = connection.create_table(_OFFENDERS, broken, temp=True)
    counts = offenders.aggregate(
        total=offenders.count(), **{flag: (~offenders[flag]).sum() for flag in holds}
    )
    [found] = counts.to_pyarrow().to_pylist()
    return Split(
        offenders=offenders,
        total=found["total"],
        counts={rule.name: found[_flag(i)] or 0 for i, rule in enumerate(rows)},
        good=judged.filter(passes).select(own),
    )


def offending(split: Split) -> pa.ChunkedArray:
    """Return the offenders' numbers in the batch."""
    return split.offenders.select(ROW).to_pyarrow()[ROW]


def reasons(split: Split, rules: Sequence[Rule]) -> tuple[ir.ArrayValue, ir.ArrayValue]:
    """Return, per offender, the names and the versions of the rules that it breaks."""
    import ibis

    rows = _parting(rules)
    flags = [split.offenders[_flag(i)] for i in range(len(rows))]

    def broken(values: Sequence[str]) -> ir.ArrayValue:
        of_each = [
            flag.ifelse(ibis.null("string"), value)
            for flag, value in zip(flags, values, strict=True)
        ]
        return ibis.array(of_each).filter(lambda value: value.notnull())

    return broken([r.name for r in rows]), broken([r.version for r in rows])


def verdicts(table: ir.Table, rules: Sequence[Rule]) -> dict[str, Verdict]:
    """Evaluate, over the whole batch, every rule that parts no rows: NULL counts as false.

    These are the batch rules, and the row rules that hold the batch or only warn.

    Raises
    ------
    DataError
        A rule fails on a value.
    """
    parting = _parting(rules)
    asked = {_flag(i): r for i, r in enumerate(rule for rule in rules if rule not in parting)}
    with _blamed(table, list(asked.values())):
        found = _measured(table, asked)
    return {rule.name: _verdict(rule, found.get(name)) for name, rule in asked.items()}


def _measured(table: ir.Table, asked: Mapping[str, Rule]) -> dict[str, Any]:
    """Return what each rule measures: in one pass, or two where a rule looks at other rows."""
    plain, windowed = {}, {}
    for name, rule in asked.items():
        if isinstance(rule, BatchRule) and rule.share is None:
            if rule.measure is not None:
                plain[name] = rule.measure
            continue
        flag = rule.share if isinstance(rule, BatchRule) else ~rule.expression.fill_null(False)
        if _looks_around(flag):
            windowed[name] = rule, flag
        else:
            plain[name] = _summed(rule, flag)
    found: dict[str, Any] = {}
    if plain:
        found |= table.aggregate(**plain).to_pyarrow().to_pylist()[0]
    if windowed:
        # No aggregate takes a window: what it gives is a column first.
        flagged = table.mutate(**{name: flag for name, (_, flag) in windowed.items()})
        sums = {name: _summed(rule, flagged[name]) for name, (rule, _) in windowed.items()}
        found |= flagged.aggregate(**sums).to_pyarrow().to_pylist()[0]
    return found


def _summed(rule: Rule, flag: ir.BooleanColumn) -> ir.Scalar:
    return flag.mean() if isinstance(rule, BatchRule) else flag.sum()


def _looks_around(flag: ir.BooleanColumn) -> bool:
    import ibis.expr.operations as ops

    return bool(flag.op().find((ops.WindowFunction, ops.Analytic, ops.Reduction)))


def _parting(rules: Sequence[Rule]) -> list[RowRule]:
    return [r for r in rules if isinstance(r, RowRule) and r.severity == "quarantine"]


def _verdict(rule: Rule, found: Any) -> Verdict:
    if isinstance(rule, BatchRule):
        return rule.judge(found)
    offenders = found or 0
    return Verdict(passed=offenders == 0, offenders=offenders)


def two_answers(dataset: str, *, offend: int, passed: int, rows: int) -> DataError:
    """Return the error for rules that did not answer the same when asked twice."""
    return DataError(
        f"the checks of {dataset!r} gave two answers on the same rows: "
        f"{offend} of {rows} rows offend, but {passed} do not",
        expected="rules that depend on the rows alone, not on chance or the present time",
    )


def _flag(number: int) -> str:
    return f"_rule_{number}"


@contextmanager
def _blamed(table: ir.Table, rules: Sequence[Rule]) -> Iterator[None]:
    """Find the rule at fault where DuckDB refuses them together."""
    import duckdb

    try:
        with full_disk_told():
            yield
    except duckdb.Error:
        for rule in rules:
            try:
                _measured(table, {"_": rule})
            except duckdb.Error as error:
                raise DataError(
                    f"check {rule.name!r} fails on a value: {str(error).splitlines()[0]}",
                    expected="a rule that is true, false or NULL for whatever comes",
                    next_step="use try_cast for cast, and test for zero before a division",
                    location=rule.location,
                ) from None
        raise
