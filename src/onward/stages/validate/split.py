"""The split: offenders on one side, with the rules they break, and the good rows on the other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce
from operator import and_
from typing import TYPE_CHECKING, Final

from onward.core.errors import DataError
from onward.core.records import UNREADABLE
from onward.stages.validate.rules import Rule

if TYPE_CHECKING:
    import ibis.expr.types as ir
    from ibis.backends.duckdb import Backend

_OFFENDERS: Final = "_offenders"


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """`offenders` has the batch's columns and ``_rule_<i>``, whether row rule i holds; `counts`
    is how many rows break each rule, by name; `good` has the columns that are published.
    """

    offenders: ir.Table
    total: int
    counts: Mapping[str, int]
    good: ir.Table


def split(connection: Backend, table: ir.Table, rules: Sequence[Rule]) -> Split:
    """Evaluate every row rule in one pass over the batch; only the offenders are kept.

    NULL counts as false. The good rows are a query, run when it is read.

    Raises
    ------
    DataError
        A rule fails on a value.
    """
    rows = [rule for rule in rules if rule.scope == "row"]
    holds = {_flag(i): rule.expression.fill_null(False) for i, rule in enumerate(rows)}
    published = [name for name in table.columns if name != UNREADABLE]
    if not rows:
        nothing = table.limit(0)
        return Split(offenders=nothing, total=0, counts={}, good=table.select(published))
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
        good=judged.filter(passes).select(published),
    )


def reasons(split: Split, rules: Sequence[Rule]) -> tuple[ir.ArrayValue, ir.ArrayValue]:
    """Return, per offender, the names and the versions of the rules that it breaks."""
    import ibis

    rows = [rule for rule in rules if rule.scope == "row"]
    flags = [split.offenders[_flag(i)] for i in range(len(rows))]

    def broken(values: Sequence[str]) -> ir.ArrayValue:
        of_each = [
            flag.ifelse(ibis.null("string"), value)
            for flag, value in zip(flags, values, strict=True)
        ]
        return ibis.array(of_each).filter(lambda value: value.notnull())

    return broken([r.name for r in rows]), broken([r.version for r in rows])


def verdicts(table: ir.Table, rules: Sequence[Rule]) -> dict[str, bool]:
    """Evaluate every batch rule over the whole batch; NULL counts as false.

    Raises
    ------
    DataError
        A rule fails on a value.
    """
    whole = [rule for rule in rules if rule.scope == "batch"]
    if not whole:
        return {}
    answers = {_flag(i): rule.expression for i, rule in enumerate(whole)}
    with _blamed(table, whole):
        [found] = table.aggregate(**answers).to_pyarrow().to_pylist()
    return {rule.name: found[_flag(i)] is True for i, rule in enumerate(whole)}


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
        yield
    except duckdb.Error:
        for rule in rules:
            try:
                table.aggregate(_=_forced(rule)).to_pyarrow()
            except duckdb.Error as error:
                raise DataError(
                    f"check {rule.name!r} fails on a value: {str(error).splitlines()[0]}",
                    expected="a rule that is true, false or NULL for whatever comes",
                    next_step="use try_cast for cast, and test for zero before a division",
                    location=rule.location,
                ) from None
        raise


def _forced(rule: Rule) -> ir.Value:
    return rule.expression.sum() if rule.scope == "row" else rule.expression
