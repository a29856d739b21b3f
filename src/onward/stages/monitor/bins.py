"""Bins: a reference column cut up so that another sample can be held against it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from onward.core.sql import literal

if TYPE_CHECKING:
    import pyarrow as pa

QUANTILES: Final = 10
CATEGORIES: Final = 20


@dataclass(frozen=True, slots=True)
class NumericBins:
    """Bins ``(-inf, e0], (e0, e1], …, (ek, inf)`` and one for what is missing.

    `edges` has shape (k + 1,); `reference` holds the reference's counts, shape (k + 3,), the last
    of them missing values.
    """

    edges: np.ndarray
    reference: np.ndarray

    def aggregate(self, value: str) -> str:
        """Return the SQL aggregate that counts `value`, a double, by bin; NULL without rows."""
        bounds = [*map(repr, self.edges.tolist()), "inf"]
        # DuckDB puts NaN into the first bin; as NULL it is left out, and missing is what remains.
        known = f"CASE WHEN NOT isnan({value}) THEN {value} END"
        return f"map_values(histogram({known}, {bounds}::DOUBLE[]))"


@dataclass(frozen=True, slots=True)
class TextBins:
    """One bin for each frequent category, one for all others, one for what is missing."""

    categories: tuple[str, ...]
    reference: np.ndarray

    def aggregate(self, value: str) -> str:
        """Return the SQL aggregate that counts `value`, a text, by bin; NULL without rows."""
        case = " ".join(
            f"WHEN {value} = {literal(category)} THEN {position}"
            for position, category in enumerate(self.categories)
        )
        other = len(self.categories)
        index = f"CASE WHEN {value} IS NULL THEN NULL {case} ELSE {other} END"
        return f"map_values(histogram({index}, {list(range(other + 1))}))"


Bins = NumericBins | TextBins


def numeric(values: np.ndarray) -> NumericBins:
    """Cut `values`, shape (n,), at their deciles; a value that holds several has a bin alone.

    Deciles are values of the sample itself, so what is constant, or mostly one number, gets the
    edges just below that number and at it: a shift to either side leaves its bin.
    """
    known = values[~np.isnan(values)]
    edges = np.empty(0)
    if len(known):
        cuts = np.arange(1, QUANTILES) / QUANTILES
        edges, held = np.unique(np.quantile(known, cuts, method="inverted_cdf"), return_counts=True)
        edges = np.union1d(edges, np.nextafter(edges[held > 1], -np.inf))
    counts = np.bincount(np.searchsorted(edges, known), minlength=len(edges) + 1)
    return NumericBins(edges, np.append(counts, len(values) - len(known)))


def text(values: pa.Array | pa.ChunkedArray) -> TextBins:
    """Give each of the most frequent categories of `values` a bin."""
    found = {entry["values"].as_py(): entry["counts"].as_py() for entry in values.value_counts()}
    missing = found.pop(None, 0)
    frequent = sorted(found, key=lambda category: (-found[category], category))[:CATEGORIES]
    counts = [found.pop(category) for category in frequent]
    return TextBins(tuple(frequent), np.array([*counts, sum(found.values()), missing]))


def counted(bins: Bins, by_bin: list[int] | None, rows: int) -> np.ndarray:
    """Return counts in the shape of `bins.reference` from what its aggregate gave on `rows`."""
    found = np.array(by_bin or [0] * (len(bins.reference) - 1))
    return np.append(found, rows - found.sum())
