"""Distribution: how far a column has moved from the last good batches, by effect size."""

# ruff: noqa: S608 (queries are put together here; names and text are quoted)

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any, Final, Literal

from onward.core import distance
from onward.core.declarations import Check
from onward.core.sql import identifier, literal
from onward.stages.validate.opened import BATCH, Opened
from onward.stages.validate.profile import histogram
from onward.stages.validate.rules.rule import (
    BatchRule,
    Verdict,
    batch_rule,
    misfit,
    require_columns,
)

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

Measure = Literal["psi", "jensen_shannon", "mean_difference"]

MINIMUM: Final = 200  # rows on either side; below, chance is as large as a shift
NAMES: Final[Mapping[Measure, str]] = {
    "psi": "PSI",
    "jensen_shannon": "Jensen-Shannon distance",
    "mean_difference": "standardized mean difference",
}
_HISTOGRAMS: Final = {"psi": distance.psi, "jensen_shannon": distance.jensen_shannon}


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """The column is no further than `at_most`, by `measure`, from the `last` batches published.

    The batch is held against each of them by itself, in bins cut from that one's profile, and the
    median counts: one odd batch among them decides nothing. Missing values are a bin. Formulas
    and their sources are in `onward.core.distance`. Batches of fewer than 200 rows are passed
    over, and without any there is nothing to hold it against: the rule holds.
    """

    column: str
    measure: Measure
    at_most: float
    last: int

    def bind(self, check: Check, seen: Opened) -> BatchRule:
        require_columns((self.column,), seen.table, check)
        kind = seen.table[self.column].type()
        if not (kind.is_numeric() or kind.is_string() or kind.is_boolean()):
            raise misfit(check, f"compares {self.column!r}, which is {kind}", "numbers or text")
        if self.measure == "mean_difference" and not kind.is_numeric():
            raise misfit(check, f"has no mean of {self.column!r}, which is {kind}", "a number")
        return batch_rule(check, None, lambda _: self._judge(seen))

    def _judge(self, seen: Opened) -> Verdict:
        con = seen.connection.con
        if seen.batch.rows < MINIMUM:
            return Verdict(passed=True, detail=f"too few rows to tell: {seen.batch.rows}")
        measured = [
            self._distance(con, facts, profile["rows"])
            for profile in seen.baseline.profiles[: self.last]
            if profile["rows"] >= MINIMUM
            and (facts := profile["columns"].get(self.column)) is not None
        ]
        found = [value for value in measured if value is not None]
        if not found:
            return Verdict(passed=True, detail="no earlier batch to compare with")
        value = median(found)
        detail = (
            f"{NAMES[self.measure]} {value:.3f} from the last {len(found)}, "
            f"{self.at_most:g} is allowed"
        )
        return Verdict(passed=value <= self.at_most, detail=detail)

    def _distance(
        self, con: DuckDBPyConnection, facts: Mapping[str, Any], rows: int
    ) -> float | None:
        """Return the distance from one profile; None where that has nothing to compare with."""
        if self.measure == "mean_difference":
            return _mean_difference(con, self.column, facts)
        binned = bins(self.column, facts, rows)
        if binned is None:
            return None
        query, reference = binned
        asked = con.execute(f"SELECT count(*), {query} FROM {BATCH}").fetchall()
        total, counts = asked[0]
        known = list(counts or [0] * (len(reference) - 1))
        return _HISTOGRAMS[self.measure](reference, [*known, total - sum(known)])


def _mean_difference(
    con: DuckDBPyConnection, column: str, facts: Mapping[str, Any]
) -> float | None:
    before = facts.get("mean"), facts.get("std")
    value = f"{identifier(column)}::DOUBLE"
    usual = f"CASE WHEN abs({value}) < 1e150 THEN {value} END"
    asked = con.execute(f"SELECT avg({usual}), stddev_samp({usual}) FROM {BATCH}").fetchall()
    now: tuple[float | None, float | None] = asked[0]
    if None in before or None in now:
        return None
    return distance.mean_difference(before, now)  # type: ignore[arg-type]  # none is None


def bins(column: str, facts: Mapping[str, Any], rows: int) -> tuple[str, Sequence[float]] | None:
    """Return the aggregate that counts a column in a profile's bins, and the profile's counts.

    The last count is of what is missing; the aggregate leaves it out.
    """
    name = identifier(column)
    match facts["type"]:
        case "number" if "histogram" in facts:
            return histogram(name, facts["histogram"]["edges"]), facts["histogram"]["counts"]
        case "string":
            return _categories(name, facts, rows)
        case "boolean":
            known = rows - facts["nulls"]
            true = known * (facts["mean"] or 0.0)
            aggregate = f"[{_counted(name)}, {_counted(f'NOT {name}')}]"
            return aggregate, [true, known - true, facts["nulls"]]
    return None


def _categories(name: str, facts: Mapping[str, Any], rows: int) -> tuple[str, Sequence[float]]:
    top = {category: share * rows for category, share in facts["top"]}
    rest = max(0.0, rows - facts["nulls"] - math.fsum(top.values()))
    each = [_counted(f"{name} = {literal(category)}") for category in top]
    others = " AND ".join(f"{name} <> {literal(category)}" for category in top) or "TRUE"
    aggregate = f"[{', '.join([*each, _counted(f'{name} IS NOT NULL AND {others}')])}]"
    return aggregate, [*top.values(), rest, facts["nulls"]]


def _counted(test: str) -> str:
    """Count where `test` is true: DuckDB's count_if gives NULL where it is NULL in every row."""
    return f"count(*) FILTER (WHERE {test})"
