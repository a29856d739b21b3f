"""The monitor stage: a window of production in, a report out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from onward.core.clock import Clock
from onward.core.records import MonitorReport, MonitorResult
from onward.stages.monitor.config import Drift, Freshness, Monitor, Operational, Performance, Skew
from onward.stages.monitor.port import Observed

if TYPE_CHECKING:
    import numpy as np


def report(
    monitors: Sequence[Monitor],
    *,
    model: str,
    run_id: str,
    window: tuple[datetime, datetime],
    observed: Observed,
    clock: Clock,
) -> MonitorReport:
    """Read every monitor over a window of event time; `run_id` names the report.

    Raises
    ------
    DeclarationError
        A monitor names a feature, a metric, a source or a view that is not there.
    """
    from onward.stages.monitor.performance import matured

    now = clock.now()
    truth, answers = matured(observed)
    results = [
        result for monitor in monitors for result in _read(monitor, observed, now, truth, answers)
    ]
    return MonitorReport(
        id=run_id,
        model=model,
        at=now,
        window_start=window[0],
        window_end=window[1],
        predictions=observed.predictions.num_rows,
        labelled=len(truth),
        results=tuple(results),
    )


def _read(
    monitor: Monitor, observed: Observed, now: datetime, truth: np.ndarray, answers: np.ndarray
) -> Iterator[MonitorResult]:
    match monitor:
        case Drift():
            from onward.stages.monitor.drift import drift

            yield from drift(monitor, observed)
        case Performance():
            from onward.stages.monitor.performance import performance

            yield performance(monitor, observed, truth, answers)
        case Operational():
            from onward.stages.monitor.operational import operational

            yield from operational(monitor, observed.predictions)
        case Freshness():
            from onward.stages.monitor.freshness import freshness

            yield from freshness(monitor, observed.newest, observed.newest_views, now)
        case Skew():
            from onward.stages.monitor.skew import skew

            yield from skew(monitor, observed.skew)
