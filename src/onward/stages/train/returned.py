"""What a training function may return: a fitted estimator, a function of rows, a module."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from onward.core.declarations import Task
from onward.core.estimator import verb
from onward.stages.train.function import PythonFunction
from onward.stages.train.module import TORCH, ModuleFunction, is_module

if TYPE_CHECKING:
    import pandas as pd


def estimator_of(returned: Any, y: pd.Series, task: Task) -> Any:
    """Return what can be asked as an estimator can: itself, if it is one or nothing else will do.

    Whatever else can be called is a function of X; a PyTorch module is called with a matrix. Its
    classes are those of the labels `y`, sorted, unless it has ``classes_`` of its own.
    """
    if hasattr(returned, verb(task)) or not callable(returned) or isinstance(returned, type):
        return returned
    classes = _classes(returned, y, task)
    if is_module(returned):
        return PythonFunction(ModuleFunction(returned), classes, TORCH)
    return PythonFunction(returned, classes)


def _classes(returned: Any, y: pd.Series, task: Task) -> list[Any] | None:
    if task == "regression":
        return None
    own = getattr(returned, "classes_", None)
    return sorted(y.unique().tolist()) if own is None else [*own]
