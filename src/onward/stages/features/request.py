"""On-demand features from requests: one object for training and for the gateway.

It stands on the gateway's hot path, once per tick of the event loop for all requests of the tick.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np
import pandas as pd

from onward.core.errors import DataError, nearest
from onward.core.records import Column, FeaturePlan
from onward.stages.features.columns import TIME
from onward.stages.features.config import OnDemand
from onward.stages.features.evaluation import failed

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_NO_TIME: Final = np.iinfo(np.int64).min
_UTC_TIME: Final = pd.DatetimeTZDtype("us", "UTC")
_DATE: Final = len("2013-01-31")

_SAYS: Final = {
    "int64": "a whole number or null",
    "double": "a number or null",
    "bool": "true, false or null",
    "string": "text or null",
    TIME: "a time with its offset, such as '2013-01-31T12:00:00Z', or null",
}


class OnDemandFeatures:
    """Computes a plan's on-demand features; the user's functions travel with it by value.

    A function gets each request column as a pandas Series: whole numbers and numbers as
    ``float64`` (exact up to 2**53), booleans as ``boolean``, text as ``str``, times as
    ``datetime64[us, UTC]``. The type does not depend on the values, so that a missing one in a
    training set does not change what a function sees, nor does one in a request.
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
        self._read = {name for part in plan.on_demand for name in part.inputs}

    def __reduce__(self) -> tuple[Any, ...]:
        return (OnDemandFeatures, (self._plan, self._functions))

    @property
    def plan(self) -> FeaturePlan:
        return self._plan

    def giving(self, name: str) -> OnDemand:
        """Return the function that gives a feature."""
        return next(f for f, given in self._calls if any(name == other for other, _ in given))

    def columns(self, request: Mapping[str, Sequence[Any]]) -> Mapping[str, np.ndarray]:
        """Compute every on-demand feature for n rows given as columns of request values.

        Every column of the plan's request is looked at, also those that no function reads.
        Columns beyond the plan's are let be.

        Raises
        ------
        DataError
            A request column is missing, a value is not of its declared type, or a function
            fails or gives other columns than it did in training.
        """
        series, count = typed(self._plan.request, self._read, request)
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
        values = values.array
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


# ---------------------------------------------------------------- the request's columns


def typed(
    columns: Iterable[Column], read: set[str], request: Mapping[str, Sequence[Any]]
) -> tuple[dict[str, pd.Series], int]:
    """Check a request's columns; return those in `read` as Series, and the number of rows.

    Raises
    ------
    DataError
        A column is missing, shorter than another, or holds a value that is not of its type.
    """
    arrays, count, first = {}, -1, ""
    for column in columns:
        name = column.name
        if name not in request:
            raise _missing(name, request)
        array = _ARRAYS[column.dtype](column, request[name])
        if count < 0:
            count, first = len(array), name
        elif len(array) != count:
            raise DataError(
                f"request column {name!r} has {len(array)} values and {first!r} has {count}",
                expected="as many values in every column",
            )
        if name in read:
            arrays[name] = array
    index = pd.RangeIndex(max(count, 0))
    return {name: pd.Series(a, index=index, copy=False) for name, a in arrays.items()}, max(
        count, 0
    )


def _missing(name: str, request: Iterable[str]) -> DataError:
    sent = sorted(request)
    close = nearest(name, sent)
    return DataError(
        f"the request has no column {name!r}",
        expected=f"{f'did you mean it by {close!r}? ' if close else ''}it has {', '.join(sent)}",
    )


def _numpy(values: Any) -> Any:
    """Return typed values (Arrow's, pandas', NumPy's) as NumPy has them, others as a list."""
    if isinstance(values, (list, tuple)):
        return values
    array = values.to_numpy() if hasattr(values, "to_numpy") else np.asarray(values)
    return array.tolist() if array.dtype == object else array


def _wrong(column: Column, values: Iterable[Any], fits: Callable[[Any], bool]) -> DataError:
    value = next(v for v in values if not fits(v))
    return DataError(
        f"request column {column.name!r} holds {value!r}",
        expected=f"{column.dtype}: {_SAYS[column.dtype]}",
    )


def _double(column: Column, values: Any) -> np.ndarray:
    values = _numpy(values)
    if isinstance(values, np.ndarray) and values.dtype.kind in "fiu":
        return values.astype(np.float64)
    if not set(map(type, values)) <= {float, int, type(None)}:
        raise _wrong(column, values, lambda v: type(v) in (float, int, type(None)))
    try:
        return np.array(values, dtype=np.float64)
    except OverflowError:
        raise _wrong(column, values, lambda v: v is None or abs(v) < 1e308) from None


def _int64(column: Column, values: Any) -> np.ndarray:
    array = _double(column, values)
    if not ((array == np.trunc(array)) & (np.abs(array) < 2.0**63) | np.isnan(array)).all():
        raise _wrong(
            column, values, lambda v: v is None or v != v or (abs(v) < 2**63 and v == int(v))
        )
    return array


def _bool(column: Column, values: Any) -> Any:
    values = _numpy(values)
    if isinstance(values, np.ndarray) and values.dtype.kind == "b":
        return pd.array(values, dtype="boolean")
    if not all(map(_is_bool, values)):
        raise _wrong(column, values, _is_bool)
    return pd.array([None if v is None else bool(v) for v in values], dtype="boolean")


def _is_bool(value: Any) -> bool:
    return value is None or (type(value) in (bool, int, float) and value in (0, 1))


def _string(column: Column, values: Any) -> Any:
    values = _numpy(values)
    if not set(map(type, values)) <= {str, type(None)}:
        raise _wrong(column, values, lambda v: type(v) in (str, type(None)))
    return pd.array(values, dtype="str")


def _time(column: Column, values: Any) -> Any:
    values = _numpy(values)
    if isinstance(values, np.ndarray) and values.dtype.kind == "M":
        moments = values.astype("datetime64[us]")
    else:
        try:
            moments = np.array([_microseconds(v) for v in values], dtype=np.int64)
        except (TypeError, ValueError):
            raise _wrong(column, values, _is_time) from None
        moments = moments.view("datetime64[us]")
    return pd.array(moments, dtype=_UTC_TIME)


def _microseconds(value: Any) -> int:
    """Return a time's microseconds since 1970; a date is its midnight in UTC.

    Raises
    ------
    TypeError, ValueError
        It is no time, or one without an offset.
    """
    if value is None:
        return int(_NO_TIME)
    moment = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    if moment.tzinfo is None and not (type(value) is str and len(value) == _DATE):
        raise ValueError(value)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // _MICROSECOND


def _is_time(value: Any) -> bool:
    try:
        _microseconds(value)
    except (TypeError, ValueError):
        return False
    return True


_ARRAYS: Final[Mapping[str, Callable[[Column, Any], Any]]] = {
    "int64": _int64,
    "double": _double,
    "bool": _bool,
    "string": _string,
    TIME: _time,
}
