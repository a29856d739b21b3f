"""Masking requests: the model sees of a caller's values what it saw in training."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from typing import Any

from onward.core.errors import DataError
from onward.core.ports import Masks
from onward.core.records import Column
from onward.core.records.masks import looks_masked

Masked = Callable[[Any], Any]
"""Returns a value masked; one that is masked already as it is."""


def masking(column: Column, masks: Masks | None) -> Masked:
    """Return what masks a request column that has a mask.

    Without `masks`, as on staging and where no keys are, values must come masked.
    """
    mask = column.mask
    assert mask is not None
    if masks is None:
        return lambda value: _require_masked(column, value)
    return lambda value: masks.value(mask, value)


def raw_type(column: Column) -> Any:
    """Return the type in which a masked column's raw value may arrive; Any where it is its own."""
    mask = column.mask
    assert mask is not None
    if mask.keyed or mask.digits is not None:
        return str | int
    if mask.bins:
        return str | float
    if mask.to:
        return datetime if column.dtype.startswith("timestamp") else date
    return float if column.dtype.startswith("double") else int


def _require_masked(column: Column, value: Any) -> Any:
    if column.mask is not None and column.mask.keyed and not (value is None or looks_masked(value)):
        raise DataError(
            f"column {column.name!r} comes unmasked, and this gateway has no keys to mask it",
            expected="a masked value, or a gateway with the secrets of the project",
        )
    return value
