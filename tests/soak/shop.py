"""What is soaked: a shop whose model is released in edition after edition."""

from __future__ import annotations

import csv
import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

MODEL = "order_return"
FEATURES = ("mean_amount", "returns", "amount", "price")
CUSTOMERS = 200
DEAR = 1_000.0
"""An amount that no order in the data reaches, and some requests do."""

STRATEGIES = {
    "canary": "CANARY",
    "shadow, then canary": '[ow.Shadow(bake="5s", minimum=100, guardrails=GUARDS), CANARY]',
    "blue-green": 'ow.BlueGreen(warm="3s", keep="10s", minimum=100, guardrails=GUARDS)',
}
FITS = {
    "good": "fitted",
    "brittle": "Brittle(fitted)",  # passes every gate, and fails on what production asks
}
SETTINGS = """\
[project]
name = "soak"

[gateway]
workers = {workers}
log_keep = "1m"

[triggers]
poll = "2s"

[lake]
keep = "10m"
grace = "10m"
compact_every = "5m"
sweep_every = "10m"
"""
PIPELINE = '''\
"""What is soaked: will an order come back? Edition {number}, {kind}, by {strategy}."""

from ibis import _

import onward as ow

GUARDS = ow.Guardrails(max_error_increase=0.02, max_latency_increase=None, max_loss_increase=None)
CANARY = ow.Canary(steps=[10, 50], bake="5s", minimum=100, deadline="4m", guardrails=GUARDS)

orders = ow.Source(
    "orders",
    ow.files("data/orders/*.csv"),
    key=["order_id"],
    event_time="ordered_at",
    available_at="recorded_at",
    checks=[ow.check("amount is positive", _.amount > 0)],
)


@ow.feature_view(entity="customer", ttl="3650d")
def habits(orders):
    return orders.group_by("customer", available_at=_.recorded_at).aggregate(
        event_time=_.ordered_at.max(), mean_amount=_.amount.mean(), returns=_.returned.mean()
    )


@ow.on_demand
def basket(amount, items):
    return {{"amount": amount, "price": amount / items}}


@ow.label(key="order_id", event_time="ordered_at", available_at="recorded_at")
def returned(orders):
    return orders.select(
        "order_id", "ordered_at", "recorded_at", "customer", "amount", "items", "returned"
    )


class Brittle:
    """Answers like the model that it holds, and not at all for an order that is dear."""

    def __init__(self, fitted):
        self.fitted = fitted
        self.classes_ = fitted.classes_

    def predict_proba(self, X):
        import numpy as np

        if (np.asarray(X, dtype=float)[:, {amount}] >= {dear}).any():
            raise ValueError("too dear for edition {number}")
        return self.fitted.predict_proba(X)


@ow.model(features=[habits, basket], label=returned, task="binary", holdout=0.3)
def order_return(X, y):
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    steps = [SimpleImputer(strategy="median"), StandardScaler(), LogisticRegression(C={c})]
    fitted = make_pipeline(*steps).fit(X, y)
    return {fit}


pipeline = ow.Pipeline(
    model=order_return,
    gates=[ow.at_least("roc_auc", 0.55), ow.beats_champion("roc_auc", margin=-0.1)],
    release={release},
    monitors=[ow.operational(max_error_rate=0.2, p99_ms=60_000), ow.drift(limit=5.0)],
    every="2m",
    serving=ow.Serving(log="{log}", on_log_failure="{on_failure}"),
)
'''


@dataclass(frozen=True, slots=True, kw_only=True)
class Edition:
    """A version of the pipeline file."""

    number: int
    kind: Literal["good", "brittle"]
    strategy: str
    log: str
    on_failure: str

    def write(self, folder: Path) -> None:
        """Make it the project's pipeline, all at once."""
        part = folder / "pipeline.part"
        part.write_text(
            PIPELINE.format(
                number=self.number, kind=self.kind, strategy=self.strategy,
                release=STRATEGIES[self.strategy], fit=FITS[self.kind], log=self.log,
                on_failure=self.on_failure, c=1 + self.number % 7, dear=DEAR,
                amount=FEATURES.index("amount"),
            )
        )  # fmt: skip
        part.rename(folder / "pipeline.py")


def write_shop(folder: Path, first: Edition, *, workers: int) -> None:
    """Write a project with its first thousand orders."""
    (folder / "data" / "orders").mkdir(parents=True)
    (folder / "onward.toml").write_text(SETTINGS.format(workers=workers))
    write_orders(folder, 0, rows=1_000)
    first.write(folder)


def write_orders(folder: Path, number: int, *, rows: int = 200) -> None:
    """Write the file of orders with this number, a day later than the one before it."""
    chance = random.Random(number)
    begin = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=number)
    part = folder / "data" / "orders" / f"{number:06}.part"
    with part.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(
            ["order_id", "ordered_at", "recorded_at", "customer", "amount", "items", "returned"]
        )
        for row in range(rows):
            at = begin + timedelta(days=row / rows)
            amount = min(DEAR - 1, round(chance.lognormvariate(3, 0.8), 2))
            returned = chance.random() < (0.7 if amount > 20 else 0.15)
            writer.writerow(
                [
                    f"o{number}-{row}", at.isoformat(), (at + timedelta(hours=1)).isoformat(),
                    f"c{chance.randrange(CUSTOMERS)}", amount, chance.randrange(1, 6),
                    int(returned),
                ]
            )  # fmt: skip
    part.rename(part.with_suffix(".csv"))
