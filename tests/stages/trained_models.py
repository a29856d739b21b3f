"""Trained folders in small, for the rooms that package and serve them."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import cloudpickle
import msgspec
import numpy as np
import pandas as pd

from onward.core import digest
from onward.core.errors import DataError
from onward.core.estimator import classes_of
from onward.core.records import Column, FeaturePlan, ModelRef, OnDemandPlan, ViewPlan
from onward.stages.train.onnx_form import onnx_form

cloudpickle.register_pickle_by_value(sys.modules[__name__])

STORES = ViewPlan(
    name="stores",
    version=1,
    table="features.stores_v1",
    entity=("store",),
    columns=("rate", "visits"),
    ttl_s=86_400.0,
)
BASKET = OnDemandPlan(
    name="basket", inputs=("amount", "placed_at"), outputs=("amount", "log_amount", "hour")
)
TASKS = ("binary", "multiclass", "regression")
PLAN = FeaturePlan(
    columns=tuple(
        Column(name=name, dtype="double")
        for name in ("stores__rate", "stores__visits", "amount", "log_amount", "hour")
    ),
    views=(STORES,),
    on_demand=(BASKET,),
    request=(
        Column(name="order_id", dtype="string"),
        Column(name="store", dtype="string"),
        Column(name="amount", dtype="double"),
        Column(name="placed_at", dtype="timestamp[us, tz=UTC]"),
    ),
    key=("order_id",),
)
TEXT_PLAN = replace(PLAN, columns=(*PLAN.columns, Column(name="part_of_day", dtype="string")))


@dataclass(frozen=True)
class Basket:
    """On-demand features; a negative amount is refused as bad data."""

    plan: FeaturePlan

    def columns(
        self, request: Mapping[str, Sequence[Any]], _features: Mapping[str, Any] | None = None
    ) -> Mapping[str, np.ndarray]:
        amounts = [math.nan if a is None else float(a) for a in request["amount"]]
        if any(a < 0 for a in amounts):
            raise DataError("amount is negative", expected="amount: double, 0 or more")
        times = [
            datetime.fromisoformat(t) if isinstance(t, str) else t for t in request["placed_at"]
        ]
        hours = np.array([math.nan if t is None else t.hour for t in times])
        found = {
            "amount": np.array(amounts),
            "log_amount": np.log1p(np.array(amounts)),
            "hour": hours,
        }
        if any(c.name == "part_of_day" for c in self.plan.columns):
            found["part_of_day"] = np.array(
                [None if math.isnan(h) else "am" if h < 12 else "pm" for h in hours], dtype=object
            )
        return found


class Linear:
    """P(1) from a fixed linear score; breaks, as asked, on amounts above a limit."""

    classes_ = np.array([0, 1])

    def __init__(self, weight: float, breaks_above: float = math.inf) -> None:
        self.weight = weight
        self.breaks_above = breaks_above

    def predict_proba(self, X: Any) -> np.ndarray:
        values = np.nan_to_num(np.asarray(X, dtype=float))
        if (values[:, 2] > self.breaks_above).any():
            raise ZeroDivisionError("this model cannot bear large amounts")
        score = self.weight * values @ np.array([1.0, 0.01, 0.02, -0.3, 0.05])
        p = 1 / (1 + np.exp(-score))
        return np.column_stack([1 - p, p])


class Waiting(Linear):
    """Predicts once a file is there; that it waits shows in a file beside."""

    def __init__(self, weight: float, gate: str) -> None:
        super().__init__(weight)
        self.gate = gate

    def predict_proba(self, X: Any) -> np.ndarray:
        while not Path(self.gate).exists():
            Path(f"{self.gate}.waits").touch()
            time.sleep(0.01)
        return super().predict_proba(X)


class Heavy(Linear):
    """Takes `megabytes` of memory once it is loaded, of which its file says nothing.

    With a `gate` it is loaded once that file is there.
    """

    def __init__(self, weight: float, megabytes: int = 0, gate: str = "") -> None:
        super().__init__(weight)
        self.megabytes = megabytes
        self.gate = gate

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        while self.gate and not Path(self.gate).exists():
            time.sleep(0.01)
        self.ballast = np.ones(self.megabytes * 125_000)

    def __deepcopy__(self, _: Any) -> Heavy:
        return self  # there is one of it, whichever way it is called


class Named(Linear):
    """Reads its columns by name, text among them, so only a DataFrame will do."""

    def predict_proba(self, X: Any) -> np.ndarray:
        p = super().predict_proba(X[[c.name for c in PLAN.columns]])[:, 1]
        p = np.where(X["part_of_day"] == "am", p / 2, p)
        return np.column_stack([1 - p, p])


class Sorter:
    """Three classes with text labels, by the amount."""

    classes_ = np.array(["large", "medium", "small"])

    def predict_proba(self, X: Any) -> np.ndarray:
        amount = np.nan_to_num(np.asarray(X, dtype=float)[:, 2])
        large = np.clip(amount / 1000, 0, 1)
        return np.column_stack([large, (1 - large) / 4, 3 * (1 - large) / 4])


class Pricer:
    """A regression."""

    def predict(self, X: Any) -> np.ndarray:
        return 2.0 * np.nan_to_num(np.asarray(X, dtype=float)[:, 2])


class Absent(Pricer):
    """A regression that has no answer for one amount."""

    def predict(self, X: Any) -> np.ndarray:
        found = super().predict(X)
        return np.where(found == 14.0, np.nan, found)


def rows(n: int, seed: int = 0) -> list[dict[str, Any]]:
    """Return n request rows."""
    chance = np.random.default_rng(seed)
    return [
        {
            "order_id": f"o{seed}-{i}",
            "store": f"s{chance.integers(5)}",
            "amount": round(float(chance.lognormal(3, 1)), 2),
            "placed_at": f"2026-01-{1 + i % 28:02d}T{chance.integers(24):02d}:00:00+00:00",
        }
        for i in range(n)
    ]


def _became(amount: pd.Series, task: str) -> Any:
    """Return labels to fit: whether an amount is above the middle, or which third it is in."""
    if task != "multiclass":
        return amount > amount.median()
    return np.array(["small", "medium", "large"])[
        np.digitize(amount, amount.quantile([1 / 3, 2 / 3]))
    ]


def train(
    folder: Path,
    estimator: Any,
    *,
    name: str = "returns",
    version: int = 1,
    task: str = "binary",
    plan: FeaturePlan = PLAN,
    runtime: str | None = None,
) -> ModelRef:
    """Write a trained folder as the train room does, and return it as a registered version."""
    folder.mkdir(parents=True)
    golden = rows(32, seed=99)
    features = Basket(plan).columns({k: [row[k] for row in golden] for k in golden[0]})
    chance = np.random.default_rng(5)
    views = {"stores__rate": chance.random(32), "stores__visits": chance.integers(1, 9, 32) * 1.0}
    views["stores__rate"][3] = math.nan
    if hasattr(estimator, "fit"):
        views["stores__rate"][3] = 0.0
    frame = pd.DataFrame({c.name: (views | dict(features))[c.name] for c in plan.columns})
    frame = frame.astype({c.name: "float64" for c in plan.columns if c.dtype == "double"})
    if hasattr(estimator, "fit"):
        estimator.fit(frame, _became(frame["amount"], task))
    predicted = {
        "binary": lambda: estimator.predict_proba(frame)[:, 1],
        "multiclass": lambda: estimator.predict_proba(frame),
        "regression": lambda: estimator.predict(frame),
    }[task]()
    plain = [
        [None if isinstance(v, float) and math.isnan(v) else v for v in row]
        for row in frame.itertuples(index=False)
    ]
    files = {
        "model.pkl": cloudpickle.dumps(estimator),
        "request_features.pkl": cloudpickle.dumps(Basket(plan)),
        "plan.json": msgspec.json.encode(
            {
                "plan": plan,
                "task": task,
                "model": name,
                "label": "returned",
                "classes": classes_of(estimator, task),
            }
        ),
        "golden.json": json.dumps(
            {
                "rows": golden,
                "features": plain,
                "beside": [[]] * 32,
                "predictions": predicted.tolist(),
                "tolerance": 1e-9 if runtime is None else 1e-5,
            }
        ).encode(),
        "environment.json": b"{}",
        "requirements.txt": b"scikit-learn\n",
        "code.py": b"# the user's module\n",
    }
    if runtime == "onnx":
        files["model.onnx"] = onnx_form(estimator, frame, task, name, None)
    for file, data in files.items():
        (folder / file).write_bytes(data)
    return ModelRef(
        name=name,
        version=version,
        path=str(folder),
        digest=digest.of_folder(folder),
        trained=f"trained:{name}-{version}",
        card="",
    )
