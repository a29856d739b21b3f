"""Whether what the user's function returned answers as its task needs."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from onward.core.declarations import Task
from onward.core.errors import DeclarationError, Location
from onward.core.estimator import predictions_of, verb
from onward.stages.train.function import AnswerError

PROBED: Final = 1_000
"""How many held-out rows a model is asked about at once before it is kept."""

_SLACK: Final = 1e-4
"""How far probabilities may miss 0, 1, or a sum of 1: some are computed in float32."""


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
    if not callable(getattr(estimator, verb(task), None)) or isinstance(estimator, type):
        what = estimator.__name__ if isinstance(estimator, type) else type(estimator).__name__
        lacks = "is a class" if isinstance(estimator, type) else f"has no {verb(task)}()"
        raise DeclarationError(
            f"model {model!r} returned {what}, which {lacks}",
            expected=f"a fitted estimator with {verb(task)}(X), or a function of X; the function "
            "ends with `return`",
            location=location,
        )
    classes = _classes(estimator, task, model, location)
    try:
        answers = np.asarray(predictions_of(estimator, x, task))
    except AnswerError as error:
        raise DeclarationError(
            f"what model {model!r} returned cannot be used: {error}",
            expected=_EXPECTED[task],
            location=location,
        ) from None
    shape = (len(x), len(classes)) if task == "multiclass" else (len(x),)
    if answers.shape != shape:
        raise DeclarationError(
            f"model {model!r} answered {len(x)} rows with shape {answers.shape}",
            expected=f"shape {shape}",
            location=location,
        )
    if (wrong := _first_wrong(answers, task)) is not None:
        raise DeclarationError(
            f"model {model!r} answered held-out row {wrong + 1} with {answers[wrong].tolist()!r}",
            expected=_EXPECTED[task],
            location=location,
        )


_EXPECTED: Final = {
    "binary": "P(class 1), a finite number between 0 and 1, for each row",
    "multiclass": "the probabilities of the sorted classes, which add up to 1, for each row",
    "regression": "a finite number for each row",
}


def _first_wrong(answers: np.ndarray, task: Task) -> int | None:
    """Return the first row whose answer is no finite number, or no probability."""
    figures = answers.astype(np.float64).reshape(len(answers), -1)
    right = np.isfinite(figures).all(axis=1)
    if task != "regression":
        right &= ((figures >= -_SLACK) & (figures <= 1 + _SLACK)).all(axis=1)
    if task == "multiclass":
        right &= np.abs(figures.sum(axis=1) - 1) <= _SLACK
    return None if right.all() else int(np.argmin(right))


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
