"""Slices: the standard metric on the rows of each value of a column."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from onward.core.records import Metric
from onward.stages.evaluate.bootstrap import interval, resampled
from onward.stages.evaluate.evidence import Evidence
from onward.stages.evaluate.judge import MINIMUM_ROWS, group_names
from onward.stages.evaluate.metrics import standard


def slice_metrics(evidence: Evidence, column: str) -> Mapping[str, Metric]:
    """Return the standard metric by value, where the value's rows are enough to define it.

    Left out are values with fewer than 50 rows and those whose rows all have one class.
    """
    found = {}
    groups = group_names(evidence, column)
    for value in np.unique(groups):
        rows = np.flatnonzero(groups == value)
        if len(rows) >= MINIMUM_ROWS and len(np.unique(evidence.challenger.y[rows])) > 1:
            found[str(value)] = _metric(evidence, rows)
    return found


def _metric(evidence: Evidence, rows: np.ndarray) -> Metric:
    metric = standard(evidence.challenger.task)
    measure = metric.of(evidence.challenger.y[rows], evidence.challenger.predictions[rows])
    low, high = interval(resampled({metric.name: measure}, len(rows))[metric.name])
    value = measure(np.ones(len(rows)))
    return Metric(name=metric.name, value=value, low=low, high=high, rows=len(rows))
