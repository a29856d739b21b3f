"""A request's columns: JSON's values, or typed ones, as the pandas Series that functions get."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np
import pandas as pd

from onward.core.errors import DataError, nearest
from onward.core.records import Column
from onward.stages.features.columns import TIME

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_NO_TIME: Final = int(np.iinfo(np.int64).min)
_UTC_TIME: Final = pd.DatetimeTZDtype("us", "UTC")
_DATE: Final = len("2013-01-31")

_SAYS: Final = {
    "int64": "a whole number or null",
    "double": "a number or null",
    "bool": "true, false or null",
    "string": "text or null",
    TIME: "a time with its offset, such as '2013-01-31T12:00:00Z', or null",
}


def typed(
    columns: Iterable[Column], read: set[str], request: Mapping[str, Sequence[Any]]
) -> tuple[dict[str, pd.Series], int]:
    """Check a request's columns; return those in `read` as Series, and the number of rows.

    Raises
    ------
    DataError
        A column is missing, shorter than another, or holds a value that is not of its type.
    """
    checked: dict[str, tuple[str, Any]] = {}
    count, first = 0, ""
    for column in columns:
        name = column.name
        if name not in request:
            raise _missing(name, request)
        values = _CHECKS[column.dtype](column, request[name])
        if not first:
            count, first = len(values), name
        elif len(values) != count:
            raise DataError(
                f"request column {name!r} has {len(values)} values and {first!r} has {count}",
                expected="as many values in every column",
            )
        if name in read:
            checked[name] = (column.dtype, values)
    index = pd.RangeIndex(count)
    series = {
        name: pd.Series(_ARRAYS[dtype](values), index=index, copy=False)
        for name, (dtype, values) in checked.items()
    }
    return series, count


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
    if array.dtype != object:
        return array
    missing = pd.isna(array)
    return [None if gone else value for value, gone in zip(array.tolist(), missing, strict=True)]


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
    if not (((array == np.trunc(array)) & (np.abs(array) < 2.0**63)) | np.isnan(array)).all():
        raise _wrong(column, array.tolist(), lambda v: v.is_integer() and abs(v) < 2**63)
    return array


def _bool(column: Column, values: Any) -> Any:
    values = _numpy(values)
    if isinstance(values, np.ndarray):
        values = values.tolist()
    if not all(map(_is_bool, values)):
        raise _wrong(column, values, _is_bool)
    return values


def _is_bool(value: Any) -> bool:
    return value is None or (type(value) in (bool, int, float) and value in (0, 1))


def _string(column: Column, values: Any) -> Any:
    values = _numpy(values)
    if not set(map(type, values)) <= {str, type(None)}:
        raise _wrong(column, values, lambda v: type(v) in (str, type(None)))
    return values


def _time(column: Column, values: Any) -> Any:
    values = _numpy(values)
    if isinstance(values, np.ndarray) and values.dtype.kind == "M":
        return values.astype("datetime64[us]")
    try:
        moments = np.array([_microseconds(v) for v in values], dtype=np.int64)
    except (TypeError, ValueError):
        raise _wrong(column, values, _is_time) from None
    return moments.view("datetime64[us]")


def _microseconds(value: Any) -> int:
    """Return a time's microseconds since 1970; a date is its midnight in UTC.

    Raises
    ------
    TypeError, ValueError
        It is no time, or one without an offset.
    """
    if value is None:
        return _NO_TIME
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


_CHECKS: Final[Mapping[str, Callable[[Column, Any], Any]]] = {
    "int64": _int64,
    "double": _double,
    "bool": _bool,
    "string": _string,
    TIME: _time,
}
_ARRAYS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "int64": lambda values: values,
    "double": lambda values: values,
    "bool": lambda values: pd.array([v if v is None else bool(v) for v in values], dtype="boolean"),
    "string": lambda values: pd.array(values, dtype="str"),
    TIME: lambda moments: pd.array(moments, dtype=_UTC_TIME),
}
