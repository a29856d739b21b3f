"""Skew: is what was served what the lake gives again?

Logged feature vectors are held against their recomputation as of their requests' times, as
Chronon's consistency job does: mismatch, missing, extra, and SMAPE (Makridakis 1993, Accuracy
measures, as a share). A difference is a fault in data or code, however seldom, so shares are
taken as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from onward.core.records import FeatureSkew, MonitorResult, SkewReport
from onward.core.wording import counted
from onward.stages.monitor.config import Skew

if TYPE_CHECKING:
    import pyarrow as pa

_SAME: Final = 1e-9  # relative: sums over the same rows in another order differ by less


def compare(
    served: pa.Table, again: pa.Table, ids: Sequence[str]
) -> tuple[tuple[FeatureSkew, ...], int]:
    """Compare vectors row by row; return each feature's skew, and how many rows differ at all.

    `served` and `again` have the same columns (doubles or text, NaN or NULL for no value) and n
    rows, the oldest first; `ids` are the rows' predictions.
    """
    found: list[FeatureSkew] = []
    differs = np.zeros(len(ids), dtype=bool)
    for name in served.column_names:
        skew, here = _compared(name, served[name], again[name], ids)
        found.append(skew)
        differs |= here
    return tuple(found), int(differs.sum())


def _compared(
    name: str, served: pa.ChunkedArray, again: pa.ChunkedArray, ids: Sequence[str]
) -> tuple[FeatureSkew, np.ndarray]:
    s, s_there = _values(served)
    r, r_there = _values(again)
    both = s_there & r_there
    smape: float | None = None
    if str(served.type) == "string":
        mismatched = both & (s != r)
    else:
        off, size = np.abs(s - r), np.abs(s) + np.abs(r)
        mismatched = both & (off > _SAME * np.maximum(np.abs(s), np.abs(r)))
        if both.any():
            smape = float((2 * off[both] / np.where(size[both] == 0, 1, size[both])).mean())
    differs = mismatched | (s_there ^ r_there)
    skew = FeatureSkew(
        feature=name,
        mismatched=int(mismatched.sum()),
        missing=int((r_there & ~s_there).sum()),
        extra=int((s_there & ~r_there).sum()),
        smape=smape,
        example=ids[int(np.flatnonzero(differs)[-1])] if differs.any() else None,
    )
    return skew, differs


def _values(column: pa.ChunkedArray) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return a column's values, shape (n,), and whether each is there."""
    values = column.to_numpy()
    if values.dtype == object:
        return values, np.array([value is not None for value in values], dtype=bool)
    return values, ~np.isnan(values)


def skew(monitor: Skew, found: SkewReport | None) -> Iterator[MonitorResult]:
    """Yield a reading for each feature: the share of vectors in which it was served otherwise."""
    if found is None or found.rows < monitor.minimum:
        rows = 0 if found is None else found.rows
        yield MonitorResult(
            monitor="skew",
            subject="features",
            value=None,
            limit=monitor.max_mismatch,
            breached=False,
            detail=f"{counted(rows, 'vector')} sampled: {monitor.minimum:,} are needed",
        )
        return
    for feature in found.features:
        share = feature.differing / found.rows
        yield MonitorResult(
            monitor="skew",
            subject=f"feature {feature.feature}",
            value=share,
            limit=monitor.max_mismatch,
            breached=share > monitor.max_mismatch,
            detail=_words(feature, found.rows),
        )


def _words(feature: FeatureSkew, rows: int) -> str:
    if not feature.differing:
        return f"served as the lake gives it again, in {counted(rows, 'vector')}"
    counts = (
        (feature.mismatched, "otherwise"), (feature.missing, "not at all"),
        (feature.extra, "without one in the lake"),
    )  # fmt: skip
    told = ", ".join(f"{count:,} {how}" for count, how in counts if count)
    smape = "" if feature.smape is None else f"; SMAPE {feature.smape:.3g}"
    return f"of {counted(rows, 'vector')} served {told}{smape}; one is {feature.example}"
