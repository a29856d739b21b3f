"""A window of production to look at: features, and logged predictions with what came true."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from onward.core.records import Column, FeaturePlan

START = datetime(2013, 6, 1, tzinfo=UTC)
NOW = START + timedelta(days=7)

PLAN = FeaturePlan(
    columns=(
        Column(name="temp", dtype="double"),
        Column(name="rain", dtype="double"),
        Column(name="origin", dtype="string"),
        Column(name="kind", dtype="string"),
    ),
    views=(),
    on_demand=(),
    request=(Column(name="flight_id", dtype="string"), Column(name="origin", dtype="string")),
    key=("flight_id",),
)


def features(rows: int, seed: int, *, shift: float = 0.0) -> dict[str, np.ndarray]:
    """Return `rows` of the plan's features: a bell, mostly zeros with gaps, two categories."""
    draw = np.random.default_rng(seed)
    rain = np.where(draw.random(rows) < 0.8, 0.0, draw.exponential(size=rows))
    return {
        "temp": draw.normal(60 + shift * 10, 10, rows),
        "rain": np.where(draw.random(rows) < 0.05, np.nan, rain),
        "origin": draw.choice(["EWR", "JFK", "LGA"], rows, p=[0.4, 0.3, 0.3]),
        "kind": np.full(rows, "x"),
    }


def predictions(
    columns: dict[str, np.ndarray],
    *,
    output: np.ndarray | None = None,
    status: Any = 200,
    version: int = 3,
    latency_us: Any = 900,
    truth: Any = None,
    told: Any = False,
) -> pa.Table:
    """Return the answers to `columns`; `truth` is of the first of them, and of no more."""
    rows = len(columns["temp"])
    matrix = np.column_stack([columns["temp"], columns["rain"], np.full((rows, 2), np.nan)])
    return pa.table(
        {
            "id": [f"p{n}" for n in range(rows)],
            "at": pa.array([START + timedelta(seconds=n) for n in range(rows)],
                           pa.timestamp("us", "UTC")),
            "version": np.full(rows, version),
            "unit": [f"f{n}" for n in range(rows)],
            "status": np.broadcast_to(status, rows).astype(np.int32),
            "latency_us": np.broadcast_to(latency_us, rows).astype(np.int64),
            "features": pa.array(list(matrix), pa.list_(pa.float64())),
            "output": pa.array(np.full(rows, 0.2) if output is None else output),
            "request": [
                json.dumps({"flight_id": f"f{n}", "origin": None if o == "" else str(o)})
                for n, o in enumerate(columns["origin"])
            ],
            "label": labels(() if truth is None else truth, rows),
            "told": np.broadcast_to(told, rows),
        }
    )  # fmt: skip


def labels(truth: Any, rows: int) -> pa.Array:
    """Return what is known of so many answers: numbers, or classes' names, of the first of them."""
    known = pa.array(truth)
    kind = known.type if pa.types.is_string(known.type) else pa.float64()
    return pa.concat_arrays([known.cast(kind), pa.nulls(rows - len(known), kind)])
