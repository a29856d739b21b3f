"""What a search is told about its goal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np


class Score(Protocol):
    """A metric of predictions against the truth, as other rooms use it too."""

    @property
    def name(self) -> str: ...

    @property
    def higher_is_better(self) -> bool: ...

    def __call__(self, y: np.ndarray, predictions: np.ndarray) -> float:
        """Return the score of n rows; `y` holds class indices or a regression's values."""
        ...
