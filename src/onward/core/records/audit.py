"""Records of an audit: what a batch is held against, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from onward.core.declarations import Severity
from onward.core.records.data import DatasetRef
from onward.core.refs import ref


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """What a batch is held against besides itself; fixed once, so that an audit can be repeated.

    `at` is the moment of the audit, `datasets` the snapshots of the other tables that checks read,
    by their declared names, `profiles` those of the batches published before, newest first.
    """

    at: datetime
    datasets: Mapping[str, DatasetRef] = field(default_factory=dict)
    profiles: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleResult:
    """How one rule fared on one batch. `version` is a digest of the rule's definition.

    `offenders` are the rows that break a row rule; what became of them is the severity's.
    """

    rule: str
    version: str
    scope: Literal["row", "batch"]
    passed: bool
    offenders: int
    detail: str = ""
    severity: Severity = "quarantine"


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationReport:
    """Rows in = rows published + rows quarantined, unless the whole batch is held.

    `quarantine` is the quarantine with this batch's offenders, None without any; `inputs` are the
    refs of other datasets that the checks read.
    """

    batch: str
    dataset: str
    run: str
    held: bool
    rows_in: int
    rows_published: int
    rows_quarantined: int
    rules: tuple[RuleResult, ...]
    profile: Mapping[str, Any]
    published: DatasetRef | None
    quarantine: DatasetRef | None = None
    inputs: tuple[str, ...] = ()

    @property
    def ref(self) -> str:
        return ref("report", f"{self.run}.validate.{self.dataset}")

    @property
    def broken(self) -> tuple[RuleResult, ...]:
        """The rules that hold the batch back."""
        return tuple(r for r in self.rules if not r.passed and r.severity == "hold")

    @property
    def warnings(self) -> tuple[RuleResult, ...]:
        """The rules that are broken and keep nothing out."""
        return tuple(r for r in self.rules if not r.passed and r.severity == "warn")
