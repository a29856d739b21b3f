"""Drift: the features and the answers of a window against the training rows, by effect size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

import duckdb
import numpy as np

from onward.core import distance
from onward.core.errors import DeclarationError, unknown_name
from onward.core.records import Column, MonitorResult, TrainingSetRef
from onward.core.wording import counted
from onward.stages.monitor import bins
from onward.stages.monitor.bins import Bins
from onward.stages.monitor.config import Drift
from onward.stages.monitor.port import Observed

if TYPE_CHECKING:
    import pyarrow as pa

MINIMUM: Final = 200  # rows on either side; below, chance is as large as drift
REFERENCE: Final = 100_000  # training rows that are looked at, evenly spaced over time
PREDICTION: Final = "prediction"

_MEASURES: Final = {"psi": distance.psi, "jensen_shannon": distance.jensen_shannon}
_NAMES: Final = {"psi": "PSI", "jensen_shannon": "Jensen-Shannon distance"}


def drift(monitor: Drift, observed: Observed) -> Iterator[MonitorResult]:
    """Yield a reading for each feature, for the data as a whole, and for the predictions.

    Raises
    ------
    DeclarationError
        The monitor names a column that is no feature.
    """
    columns = _picked(monitor, observed.training)
    reference = _reference(observed.training, columns)
    if observed.reference_scores is not None:
        scores = np.asarray(observed.reference_scores, dtype=np.float64)
        reference[PREDICTION] = bins.numeric(scores)
    counts = _counts(observed, reference)
    readings = [
        _reading(monitor, subject, reference[subject], counts[subject])
        if subject in reference
        else _untold(subject, monitor.limit, "a text feature is not in the log")
        for subject in map(_subject, columns)
    ]
    yield from readings
    yield _data(monitor, readings)
    yield _prediction(monitor, reference.get(PREDICTION), counts.get(PREDICTION))


def _subject(column: Column) -> str:
    return f"column {column.name}"


def _picked(monitor: Drift, training: TrainingSetRef) -> list[Column]:
    known = {column.name: column for column in training.plan.columns}
    if monitor.columns is None:
        return list(known.values())
    for name in monitor.columns:
        if name not in known:
            what, expected = unknown_name("feature", name, known)
            raise DeclarationError(what, expected=expected, location=monitor.location)
    return [known[name] for name in monitor.columns]


def _reference(training: TrainingSetRef, columns: list[Column]) -> dict[str, Bins]:
    """Cut the training rows' columns into bins, those that the log can be held against."""
    sent = {column.name for column in training.plan.request}
    usable = [c for c in columns if c.dtype == "double" or c.name in sent]
    if not usable:
        return {}
    every = max(1, training.rows // REFERENCE)
    names = ", ".join(f'"{column.name}"' for column in usable)
    query = f"SELECT {names} FROM read_parquet(?, file_row_number = true)"  # noqa: S608 (a plan's)
    with duckdb.connect() as connection:
        rows = connection.execute(
            f"{query} WHERE file_row_number % ? = 0", [training.path, every]
        ).to_arrow_table()
    return {_subject(column): _cut(rows.column(column.name), column.dtype) for column in usable}


def _cut(values: pa.ChunkedArray, dtype: str) -> Bins:
    if dtype == "double":
        return bins.numeric(values.to_numpy().astype(np.float64))
    return bins.text(values)


def _counts(observed: Observed, reference: Mapping[str, Bins]) -> dict[str, np.ndarray]:
    """Count every column's bins in one pass over the version's answered predictions."""
    values = {PREDICTION: "output"}
    for place, column in enumerate(observed.training.plan.columns, start=1):
        sent = f"json_extract_string(request, '$.\"{column.name}\"')"
        values[_subject(column)] = f"features[{place}]" if column.dtype == "double" else sent
    aggregates = ", ".join(cut.aggregate(values[subject]) for subject, cut in reference.items())
    with duckdb.connect() as connection:
        connection.register("predictions", observed.predictions)
        query = f"SELECT count(*), {aggregates} FROM predictions"  # noqa: S608 (a plan's names)
        asked = f"{query} WHERE version = ? AND status = 200"
        found: tuple[Any, ...] | None = connection.execute(asked, [observed.version]).fetchone()
    rows, *by_column = found or (0,)
    return {
        subject: bins.counted(cut, by_bin, rows)
        for (subject, cut), by_bin in zip(reference.items(), by_column, strict=True)
    }


def _reading(monitor: Drift, subject: str, cut: Bins, counts: np.ndarray) -> MonitorResult:
    rows, before = int(counts.sum()), int(cut.reference.sum())
    if min(rows, before) < MINIMUM:
        scarce = f"{counted(rows, 'row')} against {before:,}: {MINIMUM} are needed on either side"
        return _untold(subject, monitor.limit, scarce)
    value = _MEASURES[monitor.measure](cut.reference, counts)
    missing, was = counts[-1] / rows, cut.reference[-1] / before
    detail = f"{_NAMES[monitor.measure]} {value:.3f} on {counted(rows, 'row')}"
    if abs(missing - was) >= 0.01:
        detail += f"; {missing:.0%} missing, {was:.0%} in training"
    return MonitorResult(
        monitor="drift", subject=subject, value=value, limit=monitor.limit, breached=False,
        detail=detail,
    )  # fmt: skip


def _data(monitor: Drift, readings: list[MonitorResult]) -> MonitorResult:
    told = [reading for reading in readings if reading.value is not None]
    if not told:
        return _untold("data", monitor.share, "no feature could be judged")
    drifted = [reading for reading in told if (reading.value or 0.0) > monitor.limit]
    share = len(drifted) / len(told)
    furthest = sorted(drifted, key=lambda reading: -(reading.value or 0.0))[:3]
    names = ", ".join(
        f"{reading.subject.removeprefix('column ')} ({reading.value:.2f})" for reading in furthest
    )
    detail = f"{len(drifted)} of {len(told)} features beyond {monitor.limit:g}"
    return MonitorResult(
        monitor="drift", subject="data", value=share, limit=monitor.share,
        breached=share >= monitor.share, detail=f"{detail}: {names}" if names else detail,
    )  # fmt: skip


def _prediction(monitor: Drift, cut: Bins | None, counts: np.ndarray | None) -> MonitorResult:
    if cut is None or counts is None:
        return _untold(
            PREDICTION, monitor.limit, "there are no held-out predictions to compare with"
        )
    reading = _reading(monitor, PREDICTION, cut, counts)
    breached = reading.value is not None and reading.value > monitor.limit
    return MonitorResult(
        monitor="drift", subject=PREDICTION, value=reading.value, limit=monitor.limit,
        breached=breached, detail=reading.detail,
    )  # fmt: skip


def _untold(subject: str, limit: float, why: str) -> MonitorResult:
    return MonitorResult(
        monitor="drift", subject=subject, value=None, limit=limit, breached=False, detail=why
    )
