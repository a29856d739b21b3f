"""Records of the skew audit: what was served against what the lake gives again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureSkew:
    """How one feature was served, against its recomputation.

    Parameters
    ----------
    mismatched
        Rows where both have a value, and not the same.
    missing
        Rows where only the recomputation has one.
    extra
        Rows where only the answer had one.
    smape
        The symmetric mean absolute percentage error, as a share from 0 to 2: the mean of
        ``2 |s - r| / (|s| + |r|)`` over the rows where both are numbers; None where none are.
    example
        The id of the newest prediction that differs.
    """

    feature: str
    mismatched: int
    missing: int
    extra: int
    smape: float | None
    example: str | None

    @property
    def differing(self) -> int:
        return self.mismatched + self.missing + self.extra


@dataclass(frozen=True, slots=True, kw_only=True)
class SkewReport:
    """A version's served feature vectors against their recomputation as of their requests' times.

    `rows` predictions were looked at, the share `sample` of all units; `differing` of them have
    at least one feature that differs.
    """

    model: str
    version: int
    window_start: datetime
    window_end: datetime
    sample: float
    rows: int
    differing: int
    features: tuple[FeatureSkew, ...]

    @property
    def same(self) -> float:
        """The share of vectors that are what the lake gives again; 1 where there are none."""
        return 1.0 - self.differing / self.rows if self.rows else 1.0

    @property
    def worst(self) -> FeatureSkew | None:
        """The feature that differs most often, None where none does."""
        found = max(self.features, key=lambda f: f.differing, default=None)
        return found if found is not None and found.differing else None
