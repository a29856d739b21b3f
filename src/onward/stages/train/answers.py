"""Whether what the user's function returned answers as its task needs."""

from __future__ import annotations

from typing import Any

import numpy as np

from onward.core.declarations import Task
from onward.core.errors import DeclarationError, Location
from onward.core.estimator import predictions_of


def require_answers(
    estimator: Any, x: Any, task: Task, model: str, location: Location | None
) -> None:
    """Ask the estimator about the rows of `x` and refuse what is no answer.

    Raises
    ------
    DeclarationError
        It has no method to ask, its classes are not the task's, or the answer's shape or values
        are wrong.
    """
    verb = "predict" if task == "regression" else "predict_proba"
    if not callable(getattr(estimator, verb, None)):
        raise DeclarationError(
            f"model {model!r} returned {type(estimator).__name__}, which has no {verb}()",
            expected=f"a fitted estimator with {verb}(X); the function ends with `return`",
            location=location,
        )
    classes = _classes(estimator, task, model, location)
    answers = np.asarray(predictions_of(estimator, x, task))
    shape = (len(x), len(classes)) if task == "multiclass" else (len(x),)
    if answers.shape != shape or not np.isfinite(answers.astype("float64")).all():
        raise DeclarationError(
            f"{verb}() of model {model!r} answered {len(x)} rows with {answers.tolist()!r}",
            expected=f"finite numbers of shape {shape}",
            location=location,
        )


def _classes(estimator: Any, task: Task, model: str, location: Location | None) -> list[Any]:
    if task == "regression":
        return []
    found: list[Any] = np.asarray(getattr(estimator, "classes_", [])).tolist()
    if not found or (task == "binary" and found != [0, 1]):
        raise DeclarationError(
            f"the estimator that model {model!r} returned has classes_ {found}",
            expected="[0, 1] for a binary task, as scikit-learn's classifiers have"
            if task == "binary"
            else "classes_, as scikit-learn's classifiers have",
            location=location,
        )
    return found
