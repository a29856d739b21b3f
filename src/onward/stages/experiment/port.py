"""What a search is told about its goal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from onward.core.declarations import Task

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


class Score(Protocol):
    """A metric of predictions against the truth, as other rooms use it too."""

    @property
    def name(self) -> str: ...

    @property
    def higher_is_better(self) -> bool: ...

    def __call__(self, y: np.ndarray, predictions: np.ndarray) -> float:
        """Return the score of n rows; `y` holds class indices or a regression's values."""
        ...


class Returned(Protocol):
    """What makes something to ask of what a training function returned, as training does."""

    def __call__(self, returned: Any, y: pd.Series, task: Task) -> Any:
        """Return an estimator; `y` holds the labels that the function was given."""
        ...
