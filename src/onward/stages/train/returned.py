"""What a training function may return: a fitted estimator, or a function of rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from onward.core.declarations import Task
from onward.core.estimator import verb
from onward.stages.train.function import PythonFunction

if TYPE_CHECKING:
    import pandas as pd


def estimator_of(returned: Any, y: pd.Series, task: Task) -> Any:
    """Return what can be asked as an estimator can: itself, if it is one or nothing else will do.

    Whatever else can be called is a function of X. Its classes are those of the labels `y`,
    sorted, unless it has ``classes_`` of its own.
    """
    if hasattr(returned, verb(task)) or not callable(returned) or isinstance(returned, type):
        return returned
    return PythonFunction(returned, _classes(returned, y, task))


def _classes(returned: Any, y: pd.Series, task: Task) -> list[Any] | None:
    if task == "regression":
        return None
    own = getattr(returned, "classes_", None)
    return sorted(y.unique().tolist()) if own is None else [*own]
