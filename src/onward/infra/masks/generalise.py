"""Coarser values: the first characters, multiples of a step, bins, the beginning of a unit."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable
from datetime import date, datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from onward.core.clock import utc
from onward.core.records import Mask

if TYPE_CHECKING:
    import pyarrow as pa


def column(mask: Mask, values: pa.Array) -> pa.Array:
    """Return the values made coarser; see `core.ports.Masks.column` for the types."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if mask.digits is not None:
        head = pc.utf8_slice_codeunits(values, 0, mask.digits)
        hidden = pc.subtract(pc.utf8_length(values), pc.utf8_length(head))
        return pc.binary_join_element_wise(head, pc.binary_repeat("*", hidden), "")
    if mask.step is not None:
        steps = pc.floor(pc.divide(values.cast(pa.float64()), mask.step))
        return pc.multiply(steps, mask.step).cast(values.type)
    if mask.bins:
        distinct = values.dictionary_encode()
        labels = [_bin(mask, v) for v in distinct.dictionary.to_pylist()]
        return pa.array(labels, pa.string()).take(distinct.indices)
    return pc.floor_temporal(values, unit=mask.to).cast(values.type)


def value(mask: Mask, given: Any) -> Any:
    """Return one value made coarser; a coarse one stays as it is.

    Raises
    ------
    TypeError, ValueError
        The value is none that the mask can take.
    """
    if given is None:
        return None
    if mask.digits is not None:
        text = str(given)
        return text[: mask.digits] + "*" * (len(text) - mask.digits)
    if mask.step is not None:
        coarse = math.floor(float(given) / mask.step) * mask.step
        return int(coarse) if isinstance(given, int) else coarse
    if mask.bins:
        return given if given in labels(mask) else _bin(mask, float(given))
    return _beginning(mask.to, given)


def labels(mask: Mask) -> tuple[str, ...]:
    """Return the names of a mask's bins: ``<18``, ``18-65``, ``65+``."""
    edges = [f"{edge:g}" for edge in mask.bins]
    between = [f"{low}-{high}" for low, high in pairwise(edges)]
    return (f"<{edges[0]}", *between, f"{edges[-1]}+")


def _bin(mask: Mask, given: float | None) -> str | None:
    if given is None or given != given:
        return None
    return labels(mask)[bisect_right(mask.bins, given)]


_DATES: Final[dict[str, Callable[[date], date]]] = {
    "day": lambda d: d,
    "month": lambda d: d.replace(day=1),
    "quarter": lambda d: d.replace(month=3 * ((d.month - 1) // 3) + 1, day=1),
    "year": lambda d: d.replace(month=1, day=1),
}


def _beginning(unit: str, given: Any) -> date | datetime:
    if not isinstance(given, date):
        raise TypeError(type(given).__name__)
    if not isinstance(given, datetime):
        return given if unit == "hour" else _DATES[unit](given)
    hour = utc(given).replace(minute=0, second=0, microsecond=0)
    if unit == "hour":
        return hour
    day: date = _DATES[unit](hour.replace(hour=0))
    return day
