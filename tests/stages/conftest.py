"""A training set on disk and ports in memory, for the rooms that make and judge models."""

from __future__ import annotations

import hashlib
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import cloudpickle
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from onward.core.records import Column, FeaturePlan, TrainingSetRef

cloudpickle.register_pickle_by_value(sys.modules[__name__])

START = datetime(2013, 1, 1, tzinfo=UTC)
PLAN = FeaturePlan(
    columns=(Column(name="wind", dtype="double"), Column(name="hour", dtype="double")),
    views=(),
    on_demand=(),
    request=(
        Column(name="flight_id", dtype="int64"),
        Column(name="scheduled_at", dtype="timestamp[us, tz=UTC]"),
        Column(name="wind", dtype="double"),
        Column(name="origin", dtype="string"),
    ),
    key=("flight_id",),
)


class InlineCompute:
    """Runs where it is called: for tests of what runs, not of where."""

    def run(self, function, /, *args, name, **kwargs):
        return function(*args, **kwargs)


@dataclass
class MemoryTracker:
    """Runs by key, as the port has them."""

    runs: dict[str, dict] = field(default_factory=dict)

    def log_run(self, *, key, **given):
        self.runs.setdefault(key, {**given, "metrics": dict(given["metrics"])})
        return key

    def log_metrics(self, run, metrics):
        self.runs[run]["metrics"].update(metrics)


@dataclass(frozen=True)
class NoRequestFeatures:
    plan: FeaturePlan
    version: str = "0"

    def columns(self, request, features=()):
        return {}


def labels(task, signal, rng):
    if task == "binary":
        return (rng.random(len(signal)) < 1 / (1 + np.exp(-signal))).astype("int8")
    if task == "multiclass":
        return np.array(["early", "on time", "late"])[np.digitize(signal, [-0.7, 0.7])]
    return signal + rng.normal(0, 0.3, len(signal))


@pytest.fixture(scope="session")
def make_training(tmp_path_factory):
    """Write a training set: `label` follows `wind` and, weakly, `hour`; unless shuffled."""

    def make(task="binary", *, rows=1500, seed=0, shuffled=False, plan=PLAN, **columns):
        rng = np.random.default_rng(seed)
        wind, hour = rng.normal(size=rows), rng.integers(0, 24, rows).astype(float)
        label = labels(task, 2 * wind + 0.02 * hour, rng)
        times = [START + timedelta(hours=i // 3) for i in range(rows)]
        table = pa.table(
            {
                "flight_id": np.arange(rows),
                "scheduled_at": pa.array(times, pa.timestamp("us", "UTC")),
                "event_time": pa.array(times, pa.timestamp("us", "UTC")),
                "wind": np.where(rng.random(rows) < 0.02, np.nan, wind),
                "hour": hour,
                "origin": np.array(["EWR", "JFK", "LGA"])[rng.integers(0, 3, rows)],
                "label": rng.permutation(label) if shuffled else label,
                **columns,
            }
        )
        path = tmp_path_factory.mktemp("training") / "set.parquet"
        pq.write_table(table, path)
        return TrainingSetRef(
            id=hashlib.sha256(path.read_bytes()).hexdigest()[:16],
            path=str(path),
            rows=rows,
            label="late",
            task=task,
            plan=plan,
            as_of=times[-1],
            first=times[0],
            last=times[-1],
            inputs=("snapshot:raw.flights@1", "snapshot:raw.weather@2"),
        )

    return make


@pytest.fixture(scope="session")
def training(make_training):
    return make_training()


@pytest.fixture
def inline():
    return InlineCompute()


@pytest.fixture
def tracker():
    return MemoryTracker()


@pytest.fixture
def request_features():
    return NoRequestFeatures(PLAN)


@pytest.fixture
def folder(tmp_path) -> Path:
    return tmp_path / "trained"
