"""A function that answers about rows, with an estimator's methods: asked like any other model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np

PYTHON: Final = "python"


class AnswerError(ValueError):
    """A function gave what is no prediction for the rows that it was given."""


class PythonFunction:
    """What a training function returned, if it was a function: ``f(X)`` with n rows.

    `classes` are a classifier's, in the order of its probabilities; None for a regression.
    `library` is whose function it is, for those who call it or say what it is.
    """

    def __init__(
        self, function: Callable[[Any], Any], classes: list[Any] | None, library: str = PYTHON
    ) -> None:
        self.function = function
        self.library = library
        if classes is not None:
            self.classes_ = np.array(classes)

    def predict(self, x: Any) -> np.ndarray:
        """Return a regression's values, shape (n,); the function may give (n,) or (n, 1).

        Raises
        ------
        AnswerError
            It gave something else.
        """
        found = self._asked(x)
        if found.shape not in ((len(x),), (len(x), 1)):
            raise _misshapen(found, len(x), "(n,)")
        return found.reshape(len(x))

    def predict_proba(self, x: Any) -> np.ndarray:
        """Return the classes' probabilities, shape (n, n_classes).

        Of two classes the function may give the second one's alone, shape (n,) or (n, 1).

        Raises
        ------
        AnswerError
            It gave something else.
        """
        found, classes = self._asked(x), len(self.classes_)
        if found.shape == (len(x), classes):
            return found
        if classes == 2 and found.shape in ((len(x),), (len(x), 1)):
            second = found.reshape(len(x))
            return np.column_stack((1 - second, second))
        shapes = "(n,) or (n, 2)" if classes == 2 else f"(n, {classes})"
        raise _misshapen(found, len(x), shapes)

    def _asked(self, x: Any) -> np.ndarray:
        answer = self.function(x)
        try:
            found = np.asarray(answer)
            return found if found.dtype.kind == "f" else found.astype(np.float64)
        except (TypeError, ValueError):
            kind = type(answer).__name__
            raise AnswerError(f"it answered with {kind}, which holds no numbers") from None


def _misshapen(found: np.ndarray, rows: int, expected: str) -> AnswerError:
    return AnswerError(f"it answered {rows} rows with shape {found.shape}, not {expected}")
