"""Rules on the batch's columns: which there are, and what they hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from onward.core.declarations import Check
from onward.stages.validate.opened import Opened
from onward.stages.validate.rules.rule import BatchRule, Verdict, batch_rule

if TYPE_CHECKING:
    import ibis.expr.datatypes as dt

Family = Literal["integer", "float", "string", "boolean", "timestamp", "date", "time", "binary"]

_FAMILIES: Final[Mapping[str, Family]] = {
    "Decimal": "float", "Boolean": "boolean", "String": "string", "Timestamp": "timestamp",
    "Date": "date", "Time": "time", "Binary": "binary",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class OfType:
    """The column holds values of one of these families; an `optional` one need not exist."""

    column: str
    families: tuple[Family, ...]
    optional: bool = False

    def bind(self, check: Check, seen: Opened) -> BatchRule:
        kinds = dict(seen.table.schema().items())
        if self.column not in kinds:
            missing = Verdict(passed=self.optional, detail="" if self.optional else "it is missing")
            return batch_rule(check, None, lambda _: missing)
        found = kinds[self.column]
        passed = family(found) in self.families
        detail = "" if passed else f"it is {found}, not {' or '.join(self.families)}"
        verdict = Verdict(passed=passed, detail=detail)
        return batch_rule(check, None, lambda _: verdict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """The batch has these columns, `ordered` as here; `exactly` these, with some of `optional`."""

    names: tuple[str, ...]
    optional: tuple[str, ...] = ()
    exactly: bool = False
    ordered: bool = False

    def bind(self, check: Check, seen: Opened) -> BatchRule:
        missing = [name for name in self.names if name not in seen.columns]
        known = (*self.names, *self.optional)
        others = [name for name in seen.columns if name not in known]
        said = [f"missing: {', '.join(missing)}"] if missing else []
        if others and self.exactly:
            said.append(f"not expected: {', '.join(others)}")
        found = [name for name in seen.columns if name in self.names]
        if not missing and self.ordered and found != list(self.names):
            said.append(f"in the order {', '.join(found)}")
        verdict = Verdict(passed=not said, detail="; ".join(said))
        return batch_rule(check, None, lambda _: verdict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnCount:
    """The batch has at least `low` and at most `high` columns."""

    low: int | None = None
    high: int | None = None

    def bind(self, check: Check, seen: Opened) -> BatchRule:
        found = len(seen.columns)
        passed = (self.low is None or found >= self.low) and (
            self.high is None or found <= self.high
        )
        verdict = Verdict(passed=passed, detail="" if passed else f"there are {found}")
        return batch_rule(check, None, lambda _: verdict)


def family(kind: dt.DataType) -> Family | None:
    """Return what a column's values are, whatever their width; None for what is nested."""
    if kind.is_integer():
        return "integer"
    if kind.is_floating():
        return "float"
    return _FAMILIES.get(type(kind).__name__)
