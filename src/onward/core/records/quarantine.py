"""Records of the quarantine: which of its rows are meant, and what judging them again came to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from onward.core.records.audit import RuleResult
from onward.core.records.data import DatasetRef


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Rows of a quarantine: those that fit everything that is given.

    `rule` is one that the row broke, `run` the run that quarantined it, `ids` are quarantine ids,
    `since` is the earliest time of quarantine, `where` a SQL condition (DuckDB's) on the columns.
    """

    rule: str | None = None
    run: str | None = None
    ids: tuple[str, ...] = ()
    since: datetime | None = None
    where: str | None = None
    state: Literal["waiting", "released", "all"] = "waiting"


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """What judging a dataset's quarantined rows again came to: `rows` = `released` + `kept`.

    `run` is the replay's id, which the released rows carry, and `by` who asked for it. `mended` is
    how many rows came with corrected values, `released_before` how many rows of their file no
    longer wait. `read` is the quarantine that was judged, `base` the table's snapshot before.
    `published` is the table with the released rows, None where none passed; `quarantine` the
    quarantine after, None where nothing changed. `inputs` are the refs of other datasets that the
    checks read.
    """

    dataset: str
    table: str
    run: str
    rows: int
    released: int
    kept: int
    mended: int
    released_before: int
    rules: tuple[RuleResult, ...]
    read: DatasetRef
    base: int | None
    published: DatasetRef | None = None
    quarantine: DatasetRef | None = None
    by: str = ""
    inputs: tuple[str, ...] = ()
