"""Performance: the metric on what has come true, against what evaluation promised."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import duckdb
import numpy as np

from onward.core.errors import DeclarationError, unknown_name
from onward.core.records import MonitorResult
from onward.stages.monitor.config import Performance
from onward.stages.monitor.port import Observed, Score

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

DRAWS: Final = 200
CONFIDENCE: Final = 0.95


def matured(observed: Observed) -> tuple[np.ndarray, np.ndarray]:
    """Return the truth and the answer of what is known by now.

    The truth has shape (n,), and so have the answers. Of a multiclass model the truth is the
    class's index, the one after the last for a class that the version does not know, and the
    answers are the probabilities, shape (n, n_classes).

    Only answers with status 200 of the version under judgement count: each of which a label was
    told, and of a unit of which none was, the last.
    """
    several = observed.training.task == "multiclass"
    with duckdb.connect() as connection:
        connection.register("predictions", observed.predictions)
        found = connection.execute(_KNOWN, [observed.version]).to_arrow_table()
    if several:
        return _by_class(found, observed.classes)
    return found["label"].to_numpy(), found["output"].to_numpy()


_KNOWN: Final = """
    SELECT label, COLUMNS(c -> c IN ('output', 'outputs')) FROM predictions
    WHERE version = $1 AND status = 200 AND output IS NOT NULL AND label IS NOT NULL
    QUALIFY told OR (
        NOT bool_or(told) OVER (PARTITION BY unit)
        AND row_number() OVER (PARTITION BY unit ORDER BY "at" DESC, id DESC) = 1
    )
    ORDER BY unit, "at", id
"""


def _by_class(found: pa.Table, classes: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return the true classes' indices, shape (n,), and the probabilities, (n, n_classes)."""
    place = {name: index for index, name in enumerate(classes)}
    truth = [place.get(name, len(place)) for name in found["label"].to_pylist()]
    flat = found["outputs"].combine_chunks().flatten().to_numpy()
    return np.array(truth, np.int64), flat.reshape(len(truth), len(place))


def performance(
    monitor: Performance, observed: Observed, truth: np.ndarray, answers: np.ndarray
) -> MonitorResult:
    """Return the metric's reading: a breach when its whole interval is beyond the limit.

    The interval is the percentile bootstrap's (Efron and Tibshirani 1993, chapter 13): 95 % over
    200 draws of the rows, the same draws each time.

    Raises
    ------
    DeclarationError
        The task has no such metric, or evaluation did not measure what `max_drop` counts from.
    """
    score = _score(monitor, observed)
    limit = _limit(monitor, observed, score)
    rows = len(truth)
    if rows < monitor.minimum:
        return _untold(monitor, limit, f"{rows:,} labels known: {monitor.minimum:,} are needed")
    value, low, high = _measured(score, truth, answers)
    if np.isnan(value):
        return _untold(monitor, limit, f"{rows:,} labels, all of one class: not defined")
    sure = high < limit if score.higher_is_better else low > limit
    return MonitorResult(
        monitor="performance",
        subject=monitor.metric,
        value=value,
        limit=limit,
        breached=sure,
        detail=f"{value:.3f} (95 %: {low:.3f} to {high:.3f}) on {rows:,} labels",
    )


def _score(monitor: Performance, observed: Observed) -> Score:
    if monitor.metric not in observed.scores:
        what, expected = unknown_name("metric", monitor.metric, observed.scores)
        raise DeclarationError(what, expected=expected, location=monitor.location)
    return observed.scores[monitor.metric]


def _limit(monitor: Performance, observed: Observed, score: Score) -> float:
    """Return the stricter of the two limits that the user may have set."""
    limits = [] if monitor.at_least is None else [monitor.at_least]
    if monitor.max_drop is not None:
        before = next((m for m in observed.evaluated if m.name == monitor.metric), None)
        if before is None:
            raise DeclarationError(
                f"evaluation did not measure {monitor.metric!r}, so it cannot have dropped",
                expected=f"ow.performance({monitor.metric!r}, at_least=…)",
                location=monitor.location,
            )
        drop = monitor.max_drop
        limits.append(before.value - drop if score.higher_is_better else before.value + drop)
    return max(limits) if score.higher_is_better else min(limits)


def _measured(score: Score, truth: np.ndarray, answers: np.ndarray) -> tuple[float, float, float]:
    measure, rows = score.of(truth, answers), len(truth)
    draws = np.random.default_rng(0)
    values = [
        measure(np.bincount(draws.integers(rows, size=rows), minlength=rows).astype(np.float64))
        for _ in range(DRAWS)
    ]
    known = [value for value in values if not np.isnan(value)] or [np.nan]
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(known, [tail, 1 - tail])
    return float(measure(np.ones(rows))), float(low), float(high)


def _untold(monitor: Performance, limit: float, why: str) -> MonitorResult:
    return MonitorResult(
        monitor="performance", subject=monitor.metric, value=None, limit=limit, breached=False,
        detail=why,
    )  # fmt: skip
