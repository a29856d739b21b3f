from __future__ import annotations

import json
from datetime import UTC, date, datetime, time
from decimal import Decimal

import pandas as pd
import pyarrow as pa

from onward.core.records import Column, FeaturePlan
from onward.stages.train.golden import golden


class Sum:
    def predict(self, x):
        return x["a"].fillna(-1).to_numpy()


def test_requests_and_features_become_json_values():
    request = {
        "at": [datetime(2013, 1, 1, 5, tzinfo=UTC)] * 2,
        "day": [date(2013, 1, 1)] * 2,
        "hour": [time(5, 30)] * 2,
        "fare": [Decimal("12.50"), None],
        "wind": [float("nan"), 1.5],
    }
    table = pa.table(request)
    plan = FeaturePlan(
        columns=(Column(name="a", dtype="double"), Column(name="b", dtype="string")),
        views=(),
        on_demand=(),
        request=tuple(Column(name=name, dtype="any") for name in request),
        key=(),
    )
    x = pd.DataFrame({"a": [float("nan"), 2.0], "b": ["x", None]})
    found = golden(Sum(), table, x, plan, "regression")
    assert json.loads(json.dumps(found, allow_nan=False)) == {
        "rows": [
            {"at": "2013-01-01T05:00:00+00:00", "day": "2013-01-01", "hour": "05:30:00",
             "fare": 12.5, "wind": None},
            {"at": "2013-01-01T05:00:00+00:00", "day": "2013-01-01", "hour": "05:30:00",
             "fare": None, "wind": 1.5},
        ],
        "features": [[None, "x"], [2.0, None]],
        "beside": [[], []],
        "predictions": [-1.0, 2.0],
        "tolerance": 1e-9,
    }  # fmt: skip
