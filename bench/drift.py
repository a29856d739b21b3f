"""A drift report on a window of production, against one histogram pass by DuckDB."""

from __future__ import annotations

import resource
import statistics
import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import onward as ow
from bench.report import Row
from onward.core.records import Column, FeaturePlan, TrainingSetRef
from onward.stages.monitor.drift import drift
from onward.stages.monitor.port import Observed

AT = datetime(2013, 6, 1, tzinfo=UTC)
COLUMNS = 50


def run(quick: bool) -> Sequence[Row]:
    """Compare wall seconds, interleaved; the median of the rounds' ratios."""
    rows, rounds = (50_000, 2) if quick else (1_000_000, 5)
    with tempfile.TemporaryDirectory() as folder:
        observed = _observed(rows, Path(folder))
        plain = _histograms(observed.predictions)
        ours = lambda: list(drift(ow.drift(), observed))  # noqa: E731 (timed beside `plain`)
        taken = [(_timed(ours), _timed(plain)) for _ in range(rounds)]
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    note = (
        "limit: histogram() of the same list column and edges, nothing else; ours also reads the "
        f"training rows' Parquet of as many rows; medians of {rounds}; peak {memory:.1f} GB"
    )
    return [
        Row(
            work=f"drift report, {rows:,} x {COLUMNS}",
            ours=statistics.median(mine for mine, _ in taken),
            limit=statistics.median(theirs for _, theirs in taken),
            ratio=statistics.median(mine / theirs for mine, theirs in taken),
            target="<= 2",
            unit="s",
            note=note,
        )
    ]


def _timed(work: Callable[[], object]) -> float:
    began = perf_counter()
    work()
    return perf_counter() - began


def _histograms(predictions: pa.Table) -> Callable[[], object]:
    edges = [f"{cut:.2f}" for cut in np.linspace(-1.3, 1.3, 9)] + ["inf"]
    counts = ", ".join(f"histogram(features[{n + 1}], {edges}::DOUBLE[])" for n in range(COLUMNS))

    def count() -> object:
        with duckdb.connect() as connection:
            connection.register("predictions", predictions)
            return connection.execute(f"SELECT {counts} FROM predictions").fetchone()

    return count


def _observed(rows: int, folder: Path) -> Observed:
    names = [f"f{n}" for n in range(COLUMNS)]
    draw = np.random.default_rng(0)

    def matrix() -> np.ndarray:
        values = draw.standard_normal((rows, COLUMNS))
        values.ravel()[draw.integers(values.size, size=values.size // 100)] = np.nan
        return values

    reference = matrix()
    pq.write_table(pa.table(dict(zip(names, reference.T, strict=True))), folder / "t.parquet")
    offsets = pa.array(np.arange(0, (rows + 1) * COLUMNS, COLUMNS), pa.int32())
    predictions = pa.table(
        {
            "version": np.ones(rows, np.int64),
            "status": np.full(rows, 200, np.int32),
            "output": draw.random(rows),
            "features": pa.ListArray.from_arrays(offsets, pa.array(matrix().ravel())),
        }
    )
    plan = FeaturePlan(
        columns=tuple(Column(name=name, dtype="double") for name in names),
        views=(), on_demand=(), request=(), key=(),
    )  # fmt: skip
    training = TrainingSetRef(
        id="t", path=str(folder / "t.parquet"), rows=rows, label="y", task="binary", plan=plan,
        as_of=AT, first=AT, last=AT, inputs=(),
    )  # fmt: skip
    return Observed(
        predictions=predictions, version=1, training=training,
        reference_scores=draw.random(10_000),
    )  # fmt: skip
