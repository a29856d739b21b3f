"""Records of a comparison of two tables, or of two snapshots of one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from onward.core.records.data import DatasetRef
from onward.core.records.features import Column


@dataclass(frozen=True, slots=True, kw_only=True)
class Retyped:
    """A column that both have, in two types (DuckDB's names)."""

    name: str
    before: str
    after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RowDiff:
    """How the rows differ: `before` + `added` - `removed` = `after`.

    `how` is ``key`` where rows were matched by `key`, with how many were `changed` and, of each
    column, in how many rows; ``rows`` where whole rows were counted in the columns that both have,
    for want of a key or because it occurs more than once, as `why` tells.
    """

    how: Literal["key", "rows"]
    before: int
    after: int
    added: int
    removed: int
    changed: int = 0
    columns: Mapping[str, int] = field(default_factory=dict)
    key: tuple[str, ...] = ()
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnDiff:
    """How a column's values differ.

    `distance` is the Jensen-Shannon distance of the two distributions, from 0 (alike) to 1
    (disjoint), less what chance puts between samples; missing values count. None where there is
    nothing to compare. `shift` is the difference of the means in standard deviations, of numbers.
    `missing` are the shares of NULLs, `mean` the means, before and after; times in seconds since
    1970.
    """

    name: str
    distance: float | None
    missing: tuple[float, float]
    mean: tuple[float | None, float | None] = (None, None)
    shift: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Diff:
    """What is different in `after`; the columns that both have stand farthest apart first."""

    before: DatasetRef
    after: DatasetRef
    added: tuple[Column, ...]
    dropped: tuple[Column, ...]
    retyped: tuple[Retyped, ...]
    rows: RowDiff
    columns: tuple[ColumnDiff, ...]

    @property
    def same(self) -> bool:
        """Whether nothing at all is different."""
        schema = self.added or self.dropped or self.retyped
        return not (schema or self.rows.added or self.rows.removed or self.rows.changed)
