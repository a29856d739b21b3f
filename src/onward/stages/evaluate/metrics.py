"""The metrics: their names, for which task they are, and which direction is better.

A metric's formula is the function of the same name in `formulas`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from onward.core.declarations import Task

if TYPE_CHECKING:
    import numpy as np

Weighted = Callable[["np.ndarray"], float]


@dataclass(frozen=True, slots=True)
class MetricDefinition:
    """A metric of predictions against the truth."""

    name: str
    higher_is_better: bool

    def of(self, y: np.ndarray, predictions: np.ndarray) -> Weighted:
        """Prepare the metric for n rows; the result maps weights, shape (n,), to its value.

        `y` holds class indices, shape (n,), or a regression's values; `predictions` is P(class 1),
        shape (n,), or class probabilities, shape (n, n_classes), or values, shape (n,). The value
        is NaN where the weighted rows do not define it.
        """
        from onward.stages.evaluate import formulas

        prepare: Callable[[np.ndarray, np.ndarray], Weighted] = getattr(formulas, self.name)
        return prepare(y, predictions)

    def __call__(self, y: np.ndarray, predictions: np.ndarray) -> float:
        """Return the metric of n rows that count alike."""
        import numpy as np

        return self.of(y, predictions)(np.ones(len(y)))

    def gain(self, of: float, over: float) -> float:
        """Return by how much the value `of` is better than `over`; negative if it is worse."""
        return of - over if self.higher_is_better else over - of


_METRICS: Final[Mapping[Task, tuple[MetricDefinition, ...]]] = {
    "binary": (
        MetricDefinition("roc_auc", True),
        MetricDefinition("average_precision", True),
        MetricDefinition("log_loss", False),
        MetricDefinition("brier", False),
        MetricDefinition("accuracy", True),
    ),
    "multiclass": (
        MetricDefinition("accuracy", True),
        MetricDefinition("log_loss", False),
        MetricDefinition("macro_f1", True),
    ),
    "regression": (
        MetricDefinition("rmse", False),
        MetricDefinition("mae", False),
        MetricDefinition("r2", True),
    ),
}


def metrics_of(task: Task) -> Mapping[str, MetricDefinition]:
    """Return a task's metrics by name, the standard one first."""
    return {metric.name: metric for metric in _METRICS[task]}


def standard(task: Task) -> MetricDefinition:
    """Return the metric that a search optimises and slices report: the task's first."""
    return _METRICS[task][0]
