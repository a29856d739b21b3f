"""Golden rows: held-out requests with the predictions that training gave for them."""

from __future__ import annotations

from datetime import date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from onward.core.clock import utc
from onward.core.declarations import Task
from onward.core.estimator import predictions_of
from onward.core.records import Column, FeaturePlan

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_ROWS: Final = 32

_TOLERANCES: Final = {"float16": 1e-2, "float32": 1e-5}
"""How far, relative to 1 or to the value, another computation of a figure of this type may be from
it; else 1e-9. Last digits depend on how many rows and threads share a sum.
"""


def golden(
    estimator: Any,
    holdout: pa.Table,
    x: pd.DataFrame,
    plan: FeaturePlan,
    task: Task,
    *,
    least: float = 0.0,
) -> dict[str, Any]:
    """Return up to 32 held-out rows, evenly spaced in time, as JSON values.

    ``rows`` are requests, ``features`` the vectors in the plan's order (missing is null),
    ``beside`` what on-demand functions read of views besides (`FeaturePlan.beside`),
    ``predictions`` what `predictions_of` gave for them, and ``tolerance`` how far from these one
    may be that serves them: as their type has it, or `least`. Rows with an infinite feature, which
    JSON cannot carry, are passed over. Nobody is named: a personal column holds stand-ins, unless
    an on-demand feature is computed from it.
    """
    numbers = x.select_dtypes("float64").to_numpy()
    usable = np.flatnonzero(~np.isinf(numbers).any(axis=1))
    picked = usable[np.unique(np.linspace(0, len(usable) - 1, _ROWS).astype(int))]
    chosen, rows = x.iloc[picked], holdout.take(picked)
    predictions = np.asarray(predictions_of(estimator, chosen, task))
    return {
        "rows": _stood_in(requests(rows, plan), plan),
        "features": [
            [_json_value(value) for value in row] for row in chosen.itertuples(index=False)
        ],
        "beside": [
            list(row.values()) for row in rows.select([c.name for c in plan.beside]).to_pylist()
        ],
        "predictions": predictions.tolist(),
        "tolerance": max(least, _TOLERANCES.get(predictions.dtype.name, 1e-9)),
    }


def requests(rows: pa.Table, plan: FeaturePlan) -> list[dict[str, Any]]:
    """Return a training set's rows as callers send them, in JSON values."""
    types = {column.name: column.dtype for column in plan.request}
    return [
        {name: _as_sent(_json_value(value), types[name]) for name, value in row.items()}
        for row in rows.select(list(types)).to_pylist()
    ]


def _stood_in(rows: list[dict[str, Any]], plan: FeaturePlan) -> list[dict[str, Any]]:
    """Put stand-ins for the values of personal columns, the same one for the same value."""
    read = {name for part in plan.on_demand for name in part.inputs}
    for column in plan.request:
        if not column.personal or column.name in read:
            continue
        known = {value: n for n, value in enumerate(dict.fromkeys(r[column.name] for r in rows))}
        for row in rows:
            if row[column.name] is not None:
                row[column.name] = _stand_in(column, known[row[column.name]], row[column.name])
    return rows


def _stand_in(column: Column, number: int, value: Any) -> Any:
    if isinstance(value, int):
        return -1 - number
    if column.mask is not None and column.mask.keyed:
        return f"{value[0]}-00000000-{number:032x}"  # a masked value, of a key that there is not
    return f"somebody {number}"


def _as_sent(value: Any, dtype: str) -> Any:
    """Return a request value in its declared type: one passed on as a feature became a double."""
    if value is not None and dtype.startswith(("int", "uint")):
        return int(value)
    return bool(value) if value is not None and dtype == "bool" else value


def _json_value(value: Any) -> Any:
    if isinstance(value, datetime):
        return utc(value).isoformat()
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, float) and value != value:  # NaN: a missing number or string
        return None
    return value
