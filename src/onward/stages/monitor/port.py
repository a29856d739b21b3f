"""What the monitors are shown, and the ports of this room."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from onward.core.records import Metric, MonitorReport, SkewReport, TrainingSetRef

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


class Score(Protocol):
    """A metric, as evaluation measures it."""

    @property
    def higher_is_better(self) -> bool: ...

    def of(self, y: np.ndarray, predictions: np.ndarray) -> Callable[[np.ndarray], float]:
        """Prepare the metric for n rows; the result maps weights, shape (n,), to its value.

        `y` holds class indices or values, shape (n,); `predictions` P(class 1) or values, shape
        (n,), or class probabilities, shape (n, n_classes). NaN where it is not defined.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """One window of production, and what it is held against.

    Parameters
    ----------
    predictions
        The window's rows of ``serving.predictions``: ``id``, ``at``, ``version``, ``unit``,
        ``status``, ``latency_us``, ``features`` (doubles in the plan's order, NaN for text),
        ``output``, ``outputs`` (of several classes, the probability of each) and ``request``
        (JSON). Beside them what has come true by now: ``label``, a number or a class's name, null
        while it is not known, and ``told``, whether it was said of this very prediction and not
        of its unit. More columns do no harm.
    version
        The version whose drift and performance are judged, usually the champion's. Errors and
        latency are everyone's.
    training
        That version's training set: the reference rows, and the plan that orders `features`.
    classes
        The names of that version's classes, in the order of its probabilities, where it is a
        multiclass one.
    reference_scores
        That version's predictions on its held-out rows, shape (n,); without them the
        distribution of predictions is not judged.
    evaluated
        Its metrics at evaluation, which `max_drop` counts from.
    scores
        The metrics of its task, by name.
    newest
        The newest event time of each source, None for one that has no rows.
    newest_views
        The newest event time online of each feature view that the version reads, likewise.
    skew
        The skew audit of that version over the window, where a monitor asks for it.
    """

    predictions: pa.Table
    version: int
    training: TrainingSetRef
    classes: tuple[str, ...] = ()
    reference_scores: np.ndarray | None = None
    evaluated: tuple[Metric, ...] = ()
    scores: Mapping[str, Score] = field(default_factory=dict)
    newest: Mapping[str, datetime | None] = field(default_factory=dict)
    newest_views: Mapping[str, datetime | None] = field(default_factory=dict)
    skew: SkewReport | None = None


class Alert(Protocol):
    """Somebody who is to hear of a breach."""

    def send(self, report: MonitorReport) -> str | None:
        """Tell of a report; return None, or in words why it did not arrive. Never raises."""
        ...
