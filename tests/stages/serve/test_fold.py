"""Folding the log into the lake: each prediction once."""

from __future__ import annotations

import json
import math

import pytest
from test_prediction_log import HEADER, WIDE, batch, wide

from onward.infra.lake.iceberg import open_lake
from onward.stages.serve.log.reader import read
from onward.stages.serve.log.writer import PredictionLog
from onward.stages.serve.step import TABLE, fold


@pytest.fixture
def lake(tmp_path):
    return open_lake(tmp_path / "lake")


def test_each_prediction_is_folded_once(tmp_path, lake):
    folder = tmp_path / "predictions"
    assert fold(folder, lake=lake, run="r0") == 0
    log = PredictionLog(folder, started_ns=1)
    log.append([(HEADER, batch(3)), (WIDE, wide(2))])
    assert fold(folder, lake=lake, run="r1", limit=3) == 5
    assert fold(folder, lake=lake, run="r1") == 0
    log.append([(HEADER, batch(2, first=3))])
    assert fold(folder, lake=lake, run="r1") == 2
    log.close()
    rows = lake.read(TABLE).sort_by("id").to_pylist()
    predictions = sorted(read(folder)[0], key=lambda p: p.id)
    assert [r["id"] for r in rows] == [p.id for p in predictions]
    for row, p in zip(rows, predictions, strict=True):
        for name in ("at", "model", "version", "image", "release", "arm", "unit", "status",
                     "latency_us", "error"):  # fmt: skip
            assert row[name] == getattr(p, name)
        assert json.loads(row["request"]) == p.request
        numbers = [v if isinstance(v, float) else None for v in p.features.values()]
        assert [None if math.isnan(v) else v for v in row["features"]] == numbers
    assert [r["output"] for r in rows if r["version"] == 4] == [2.0, None]


def test_a_crash_before_or_after_the_commit_changes_nothing(tmp_path, lake):
    folder = tmp_path / "predictions"
    log = PredictionLog(folder, started_ns=1)
    log.append([(HEADER, batch(4))])
    log.close()

    class Dies:
        def __init__(self, after: bool) -> None:
            self.after = after

        def __getattr__(self, name):
            return getattr(lake, name)

        def append(self, *args, **options):
            if self.after:
                lake.append(*args, **options)
            raise KeyboardInterrupt

    for after in (False, True):
        with pytest.raises(KeyboardInterrupt):
            fold(folder, lake=Dies(after), run="r1")
    assert fold(folder, lake=lake, run="r1") == 0
    assert lake.read(TABLE).num_rows == 4
