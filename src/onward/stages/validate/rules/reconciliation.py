"""Reconciliation: what the batch adds up to is what another table, or a control total, says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from onward.core.declarations import Check
from onward.core.errors import DeclarationError
from onward.stages.validate.opened import Opened
from onward.stages.validate.rules.rule import (
    BatchRule,
    Verdict,
    batch_rule,
    require_columns,
    resolve,
)

if TYPE_CHECKING:
    import ibis.expr.types as ir

Over = Literal["batch", "table"]
_SHOWN: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciliation:
    """`ours` is within `tolerance` of `theirs`: an aggregate over `dataset`, or a number.

    Per group where `by` names columns, which both have: each group that is here must be there.
    `over` says which rows are ours: the batch's, or the table's as publishing would leave it; of
    a table, each group that is there must be here as well.
    """

    ours: Any
    theirs: Any
    dataset: str | None
    by: tuple[str, ...]
    tolerance: float
    over: Over

    def bind(self, check: Check, seen: Opened) -> BatchRule:
        rows = self._rows(seen)
        require_columns(self.by, rows, check)
        here = _number(check, self.ours, rows)
        if self.dataset is None:
            return batch_rule(check, None, lambda _: self._single(here, self.theirs))
        other = seen.beside(self.dataset)
        require_columns(self.by, other, check, of=self.dataset)
        there = _number(check, self.theirs, other)
        if not self.by:
            return batch_rule(check, None, lambda _: self._single(here, _value(there)))
        groups = self._groups(
            rows.group_by(list(self.by)).aggregate(_here=here),
            other.group_by(list(self.by)).aggregate(_there=there),
        )
        return batch_rule(check, None, lambda _: self._grouped(groups))

    def _rows(self, seen: Opened) -> ir.Table:
        before = seen.before
        if self.over == "batch" or before is None:
            return seen.table
        if seen.batch.mode == "upsert":
            before = before.anti_join(seen.table, list(seen.batch.key))
        if (replaced := seen.batch.partitions) is not None:
            inside = before[replaced.column].isin([v for v in replaced.values if v is not None])
            if None in replaced.values:
                inside = inside | before[replaced.column].isnull()
            before = before.filter(~inside.fill_null(False))
        both = [name for name in seen.columns if name in before.columns]
        return before.select(*both).union(seen.table.select(*both))

    def _single(self, ours: ir.Scalar, theirs: Any) -> Verdict:
        here = _value(ours)
        if here is not None and theirs is not None and abs(here - theirs) <= self.tolerance:
            return Verdict(passed=True)
        return Verdict(passed=False, detail=f"{_plain(here)} here, {_plain(theirs)} there")

    def _groups(self, here: ir.Table, there: ir.Table) -> ir.Table:
        """Return the groups that differ."""
        import ibis

        on = [here[c].identical_to(there[c]) for c in self.by]
        how = "outer" if self.over == "table" else "left"
        joined = here.join(there, on, how=how, rname="{name}__there")
        groups = joined.select(
            **{c: ibis.coalesce(joined[c], joined[f"{c}__there"]) for c in self.by},
            _here=joined["_here"],
            _there=joined["_there"],
        )
        near = (groups["_here"] - groups["_there"]).abs() <= self.tolerance
        return groups.filter(~near.fill_null(False))

    def _grouped(self, differing: ir.Table) -> Verdict:
        found = differing.count().to_pyarrow().as_py()
        if not found:
            return Verdict(passed=True)
        shown = differing.order_by(list(self.by)).limit(_SHOWN).to_pyarrow().to_pylist()
        listed = "; ".join(
            f"{', '.join(f'{c}={row[c]}' for c in self.by)}: "
            f"{_plain(row['_here'])} here, {_plain(row['_there'])} there"
            for row in shown
        )
        more = "; …" if found > len(shown) else ""
        groups = "group differs" if found == 1 else "groups differ"
        return Verdict(passed=False, detail=f"{found:,} {groups}: {listed}{more}")


def _number(check: Check, rule: Any, table: ir.Table) -> ir.Scalar:
    import ibis.expr.types as ir

    found = resolve(rule, table, check)
    if not (isinstance(found, ir.Scalar) and found.type().is_numeric()):
        what = found.type() if isinstance(found, ir.Column) else type(found).__name__
        raise DeclarationError(
            f"check {check.name!r} reconciles what is no single number: {what}",
            expected="an aggregate, such as _.count() or _.amount.sum()",
            location=check.location,
        )
    return found


def _value(scalar: ir.Scalar) -> Any:
    found = scalar.to_pyarrow().as_py()
    return None if found is None else float(found) if not isinstance(found, int) else found


def _plain(value: Any) -> str:
    if value is None:
        return "nothing"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.10g}"
