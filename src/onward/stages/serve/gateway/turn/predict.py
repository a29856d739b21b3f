"""From rows to figures: the features of an arm's rows, and one call of its model for all of them.

What one caller sent never shows in another's answer: where a batch fails, each caller's part is
computed again on its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING

from onward.core.errors import DataError
from onward.stages.serve.gateway.models.views import named
from onward.stages.serve.gateway.routing.job import Part
from onward.stages.serve.gateway.routing.live import Target

if TYPE_CHECKING:
    import numpy as np


def predict(target: Target, parts: Sequence[Part]) -> None:
    """Give each part its features and its output, or the error that is its own."""
    import numpy as np

    try:
        numbers, texts = _features(target, parts)
    except Exception as error:
        _apart(target, parts, error)
        return
    begin = 0
    for part in parts:
        end = begin + len(part.units)
        part.computed, part.texts = numbers[begin:end], texts[begin:end]
        begin = end
    try:
        found = target.model.call(numbers, texts)
        if found.shape != (len(numbers), target.model.width) or not np.isfinite(found).all():
            raise ArithmeticError(f"the model gave {found.shape} figures, or NaN among them")
    except Exception as error:
        _apart(target, parts, error)
        return
    begin = 0
    for part in parts:
        end = begin + len(part.units)
        part.output = found[begin:end]
        begin = end


def _apart(target: Target, parts: Sequence[Part], error: Exception) -> None:
    if len(parts) > 1:
        for part in parts:
            predict(target, [part])
        return
    [part] = parts
    part.status = 400 if isinstance(error, DataError) else 500
    part.error = str(error) if part.status == 400 else f"{type(error).__name__}: {error}"


def _features(
    target: Target, parts: Sequence[Part]
) -> tuple[np.ndarray, Sequence[tuple[str | None, ...]]]:
    """Return (n, n_features) numbers and n rows of text features for all parts' rows."""
    import numpy as np

    plan = target.model.plan
    if parts[0].requests is None:
        texts = parts[0].texts
        if len(parts) > 1:
            texts = [row for part in parts for row in part.texts]
        return _flat(parts).reshape(-1, len(plan.columns)), texts
    rows = [row for part in parts for row in part.requests or ()]
    names = [c.name for c in plan.request]  # a row may hold more, for a shadow
    request = dict(zip(names, zip(*rows, strict=True), strict=False))
    views = target.model.views
    found = named(views, [row for part in parts for row in part.looked_up]) if views else {}
    if plan.on_demand:
        found |= target.model.request_features.columns(request, found)
    numbers = np.full((len(rows), len(plan.columns)), np.nan)
    for position, column in enumerate(plan.columns):
        if column.dtype != "string":
            numbers[:, position] = found[column.name]
    strings = [found[plan.columns[position].name] for position in target.model.strings]
    return numbers, list(zip(*strings, strict=True)) if strings else [()] * len(rows)


def _flat(parts: Sequence[Part]) -> np.ndarray:
    """Return the numbers of all parts one after another, NaN for a missing one."""
    import numpy as np

    given = [part.numbers for part in parts]
    if {type(numbers) for numbers in given} == {list}:
        values = given[0] if len(given) == 1 else chain.from_iterable(given)
        try:
            return np.fromiter(values, np.float64, sum(map(len, given)))
        except TypeError:
            pass  # a missing number, which is rare
    return np.concatenate([np.asarray(numbers, dtype=np.float64) for numbers in given])
