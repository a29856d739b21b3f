"""On-demand features, computed: one object for training and for the gateway.

It stands on the gateway's hot path, once per tick of the event loop for all requests of the tick.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import msgspec
import numpy as np
import pandas as pd

from onward.core import fingerprint
from onward.core.errors import DataError
from onward.core.records import Column, FeaturePlan
from onward.stages.features.evaluation import failed
from onward.stages.features.on_demand import OnDemand
from onward.stages.features.point_in_time import column as joined_as
from onward.stages.features.request_columns import typed


class OnDemandFeatures:
    """Computes a plan's on-demand features; the user's functions travel with it by value.

    A function gets each column as a pandas Series: whole numbers and numbers as ``float64`` (exact
    up to 2**53), booleans as ``boolean``, text as ``str``, times as ``datetime64[us, UTC]``; of
    views' features numbers and booleans are ``float64`` and text is ``str``. The type does not
    depend on the values, so that a missing one in a training set does not change what a function
    sees, nor does one in a request.
    """

    def __init__(self, plan: FeaturePlan, functions: Sequence[OnDemand]) -> None:
        self._plan = plan
        self._functions = tuple(functions)
        types = {column.name: column.dtype for column in plan.columns}
        by_name = {function.name: function for function in functions}
        self._calls = [
            (by_name[part.name], [(name, types[name]) for name in part.outputs])
            for part in plan.on_demand
        ]
        self._looked_up = plan.read
        asked = (name for part in plan.on_demand for name in part.inputs)
        self._read = {*asked, *(column.name for column in plan.read)}

    def __reduce__(self) -> tuple[Any, ...]:
        # As JSON the plan's bytes do not depend on which of its strings are one object. The views'
        # own functions stay behind: a gateway does not have what they import.
        alone = tuple(replace(function, views=()) for function in self._functions)
        return (_restored, (msgspec.json.encode(self._plan), alone))

    @property
    def plan(self) -> FeaturePlan:
        return self._plan

    @property
    def version(self) -> str:
        """The fingerprint of the plan's functions, in its order, and of the views they read."""
        read = {column.name for column in self._looked_up}
        views = [v.ref for v in self._plan.views if read & {joined_as(v, c) for c in v.columns}]
        codes = (fingerprint.of_function(function.function) for function, _ in self._calls)
        return fingerprint.of_text(*codes, *views)

    def giving(self, name: str) -> OnDemand:
        """Return the function that gives a feature."""
        return next(f for f, given in self._calls if any(name == other for other, _ in given))

    def columns(
        self,
        request: Mapping[str, Sequence[Any]],
        features: Mapping[str, Sequence[Any]] = MappingProxyType({}),
    ) -> Mapping[str, np.ndarray]:
        """Compute every on-demand feature for n rows given as columns of request values.

        `features` has what the rows' views gave, named as in the plan. Every column of the plan's
        request is looked at, also those that no function reads. Columns beyond are let be.

        Raises
        ------
        DataError
            A column is missing, a value is not of its declared type, or a function fails or
            gives other columns than it did in training.
        """
        values = {**features, **request} if self._looked_up else request
        series, count = typed((*self._plan.request, *self._looked_up), self._read, values)
        found: dict[str, np.ndarray] = {}
        for function, outputs in self._calls:
            given = called(function, series)
            if set(given) != {name for name, _ in outputs}:
                raise DataError(
                    f"on-demand function {function.name!r} gives {', '.join(given)}",
                    expected=f"what it gave in training: {', '.join(n for n, _ in outputs)}",
                    location=function.location,
                )
            for name, dtype in outputs:
                found[name] = feature(function, name, given[name], count, dtype)
        return found


def _restored(plan: bytes, functions: Sequence[OnDemand]) -> OnDemandFeatures:
    return OnDemandFeatures(msgspec.json.decode(plan, type=FeaturePlan), functions)


def outputs(function: OnDemand, series: Mapping[str, pd.Series], count: int) -> tuple[Column, ...]:
    """Return the columns that a function gives for `count` rows, with their types.

    Raises
    ------
    DataError
        It fails, or gives what is no feature.
    """
    given = called(function, series)
    if not list(given):
        raise DataError(
            f"on-demand function {function.name!r} gives no features", location=function.location
        )
    types = {name: _dtype(function, name, values) for name, values in given.items()}
    for name, dtype in types.items():
        feature(function, name, given[name], count, dtype)
    return tuple(Column(name=name, dtype=dtype) for name, dtype in types.items())


def answer(
    function: OnDemand, columns: Iterable[Column], request: Mapping[str, Any]
) -> Mapping[str, float | str | None]:
    """Return what a function gives for one row of `columns`, by name; None for what is missing.

    Raises
    ------
    DataError
        A value is not of its column's type, or the function fails, or gives what is no feature.
    """
    values = {name: [value] for name, value in request.items()}
    series, count = typed(columns, set(function.inputs), values)
    given = called(function, series)
    found = {
        column.name: feature(function, column.name, given[column.name], count, column.dtype)
        for column in outputs(function, series, count)
    }
    return {name: None if pd.isna(values[0]) else values.item(0) for name, values in found.items()}


def called(function: OnDemand, series: Mapping[str, pd.Series]) -> Mapping[str, Any]:
    """Call a function with the series that its parameters name."""
    try:
        given = function.function(*[series[name] for name in function.inputs])
    except Exception as error:
        subject = f"on-demand function {function.name!r}"
        raise failed(subject, function.function, error) from error
    if not isinstance(given, (Mapping, pd.DataFrame)):
        raise DataError(
            f"on-demand function {function.name!r} returns {type(given).__name__}",
            expected="a mapping of feature name to Series, or a DataFrame",
            location=function.location,
        )
    return given


def feature(function: OnDemand, name: str, values: Any, count: int, dtype: str) -> np.ndarray:
    """Return a feature as an array of shape (count,): float64, or object with str and None.

    What is not finite is missing, as JSON and the feature tables have it.

    Raises
    ------
    DataError
        The values are of another type or number, or in another order than the request's.
    """
    if isinstance(values, pd.Series):
        if not (isinstance(values.index, pd.RangeIndex) and values.index.start == 0):
            raise _refused(function, name, "has its rows in another order", "the request's order")
        values = values.to_numpy() if isinstance(values.dtype, np.dtype) else values.array
    shape = getattr(values, "shape", None)
    if shape != (count,):
        found = type(values).__name__ if shape is None else f"of shape {shape}"
        raise _refused(function, name, f"is {found}", f"{count} values, one per row")
    if dtype == "string":
        return _text(function, name, values)
    if values.dtype.kind in "fiub":
        plain = isinstance(values, np.ndarray)
        numbers = (
            values.astype(np.float64)
            if plain
            else values.to_numpy(dtype=np.float64, na_value=np.nan)
        )
    else:
        numbers = _numbers(function, name, values)
    finite = np.isfinite(numbers)
    return numbers if finite.all() else np.where(finite, numbers, np.nan)


def _text(function: OnDemand, name: str, values: Any) -> np.ndarray:
    found = np.array(values, dtype=object)
    missing = pd.isna(found)
    if wrong := [v for v in found[~missing] if type(v) is not str]:
        raise _refused(function, name, f"holds {wrong[0]!r}", "text, as it did in training")
    found[missing] = None
    return found


def _numbers(function: OnDemand, name: str, values: Any) -> np.ndarray:
    """Read numbers out of objects; None and NaN are missing."""
    found = np.asarray(values, dtype=object)
    missing = pd.isna(found)
    for value in found[~missing]:
        if not isinstance(value, (bool, int, float, np.number, np.bool_)):
            raise _refused(function, name, f"holds {value!r}", "numbers, as it did in training")
    return np.where(missing, np.nan, found).astype(np.float64)


def _dtype(function: OnDemand, name: str, values: Any) -> str:
    """Return ``double`` or ``string`` for what a function gave in training."""
    kind = pd.api.types.infer_dtype(values, skipna=True) if np.ndim(values) == 1 else "other"
    if kind in ("string", "categorical"):
        return "string"
    if kind in ("floating", "integer", "boolean", "mixed-integer-float", "empty", "decimal"):
        return "double"
    raise _refused(
        function, name, f"is {getattr(values, 'dtype', type(values).__name__)}",
        "numbers, booleans or text, one per row",
    )  # fmt: skip


def _refused(function: OnDemand, name: str, found: str, expected: str) -> DataError:
    return DataError(
        f"feature {name!r} of on-demand function {function.name!r} {found}",
        expected=expected,
        location=function.location,
    )
