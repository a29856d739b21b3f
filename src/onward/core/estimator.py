"""How rows become a model's input and how a fitted estimator is asked: one convention for all.

Whoever fits, evaluates or serves goes through these functions, so that they agree. They know no
vendor: tables, frames and estimators are used by their methods alone.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from onward.core.declarations import Task
from onward.core.errors import DataError
from onward.core.records import FeaturePlan
from onward.core.wording import counted

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa


def features_of(table: pa.Table, plan: FeaturePlan) -> pd.DataFrame:
    """Return X, shape (n_rows, n_features): the plan's columns, float64 or string.

    A missing number is NaN, a missing string is missing.
    """
    numbers = [column.name for column in plan.columns if column.dtype == "double"]
    frame = table.select([column.name for column in plan.columns]).to_pandas()
    return frame.astype(dict.fromkeys(numbers, "float64"))


def labels_of(table: pa.Table, task: Task, name: str) -> pd.Series:
    """Return y, shape (n_rows,), from the column ``label``, under the label's own `name`.

    Classes of a binary task are the integers 0 and 1; those of a multiclass task stay as they
    are; a regression's target is float64.

    Raises
    ------
    DataError
        A label is missing, or a binary label is neither 0 nor 1.
    """
    column = table.column("label")
    if column.null_count:
        raise DataError(
            f"label {name!r} is missing in {column.null_count:,} of "
            f"{counted(table.num_rows, 'row')}",
            expected="a value in every row that the label function returns",
            next_step="filter rows without a label in the label function",
        )
    y = column.to_pandas().rename(name)
    if task == "regression":
        return y.astype("float64")
    if task == "multiclass":
        return y
    found = y.unique().tolist()
    if not {*found} <= {0, 1}:
        raise DataError(
            f"label {name!r} of a binary task holds {', '.join(map(repr, sorted(found)[:5]))}",
            expected="0 and 1, or false and true",
            next_step="compare in the label function, or declare another task",
        )
    return y.astype("int64")


def holdout_start(times: Sequence[Any], share: float) -> int:
    """Return the index of the first held-out row; `times` is ascending.

    The newest `share` of rows is held out, and with it every row of the same moment as the
    oldest of them: no moment is on both sides.

    Raises
    ------
    DataError
        Nothing is left on one of the sides.
    """
    border = int(len(times) * (1 - share))
    start = bisect_left(times, times[border]) if border < len(times) else 0
    if start == 0:
        raise DataError(
            f"{counted(len(times), 'row')} cannot be split by time, {share:.0%} of them held out",
            expected="rows at several moments, some before the held-out ones",
            next_step="ingest more data, or lower `holdout=` of @ow.model",
        )
    return start


def verb(task: Task) -> str:
    """Return the name of the method that answers for a task."""
    return "predict" if task == "regression" else "predict_proba"


def predictions_of(estimator: Any, x: Any, task: Task) -> np.ndarray:
    """Ask a fitted estimator about n rows.

    Returns P(class 1), shape (n,), for a binary task; class probabilities in the order of the
    estimator's ``classes_``, shape (n, n_classes), for a multiclass one; values, shape (n,), for
    a regression.
    """
    answers: np.ndarray = getattr(estimator, verb(task))(x)
    return answers[:, 1] if task == "binary" else answers


def classes_of(estimator: Any, task: Task) -> list[Any] | None:
    """Return a classifier's classes in the order of its probabilities; None for a regression."""
    return None if task == "regression" else [*map(_plain, estimator.classes_)]


def class_name(value: Any) -> str:
    """Return the name by which a class is known in production: text, as the gateway answers it."""
    return str(int(value)) if isinstance(value, int) else str(value)


def encoded(y: pd.Series, classes: list[Any] | None) -> np.ndarray:
    """Return each class's index in `classes`, shape (n,); values themselves for a regression.

    A class that is not among them, because no training row had it, gets the index after the last.
    """
    index = {value: position for position, value in enumerate(classes or ())}
    known = y if classes is None else y.map(lambda value: index.get(value, len(index)))
    found: np.ndarray = known.to_numpy("float64" if classes is None else "int64")
    return found


def _plain(value: Any) -> Any:
    """Return a NumPy scalar as Python's."""
    return value.item() if hasattr(value, "item") else value
