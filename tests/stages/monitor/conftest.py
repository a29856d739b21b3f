from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from production_window import PLAN, START, features, predictions

from onward.core.records import Metric, TrainingSetRef
from onward.stages.evaluate.metrics import metrics_of
from onward.stages.monitor.port import Observed


@pytest.fixture(scope="session")
def training(tmp_path_factory) -> TrainingSetRef:
    path = tmp_path_factory.mktemp("training") / "t.parquet"
    pq.write_table(pa.table(features(5_000, seed=1)), path)
    return TrainingSetRef(
        id="t", path=str(path), rows=5_000, label="late", task="binary", plan=PLAN, as_of=START,
        first=START, last=START, inputs=(),
    )  # fmt: skip


@pytest.fixture
def observed(training) -> Callable[..., Observed]:
    base = Observed(
        predictions=predictions(features(2_000, seed=2)),
        version=3,
        training=training,
        evaluated=(Metric(name="roc_auc", value=0.70, low=0.68, high=0.72, rows=5_000),
                   Metric(name="brier", value=0.15, low=0.14, high=0.16, rows=5_000)),
        scores=metrics_of("binary"),
    )  # fmt: skip
    return lambda **changes: replace(base, **changes)
