"""A small shop: a whole project whose runs take seconds, for tests that need the loop."""

from __future__ import annotations

import csv
import random
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("any speed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any speed")

pytest_plugins = [
    "services.api",
    "services.clock",
    "services.containers",
    "services.kafka",
    "services.postgres",
    "services.redis_server",
    "services.registry",
    "services.s3",
]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--kills", type=int, default=6, help="how many processes a crash test kills")


@pytest.fixture
def kills(request: pytest.FixtureRequest) -> int:
    """How many processes a crash test kills."""
    return request.config.getoption("--kills")


START = datetime(2026, 1, 1, tzinfo=UTC)

PIPELINE = '''\
"""Will an order come back? A small pipeline for tests."""

from ibis import _

import onward as ow

orders = ow.Source(
    "orders",
    ow.files("data/orders/*.csv"),
    key=["order_id"],
    event_time="ordered_at",
    available_at="recorded_at",
    checks=[
        ow.check("amount is positive", _.amount > 0),
        ow.batch_check("enough rows", _.count() > 20),
    ],
)


@ow.transform
def sold(orders):
    return orders.filter(_.items > 0)


@ow.feature_view(entity="customer", ttl="365d")
def habits(sold):
    return sold.group_by("customer", available_at=_.recorded_at).aggregate(
        event_time=_.ordered_at.max(), mean_amount=_.amount.mean(), returns=_.returned.mean()
    )


@ow.on_demand
def basket(amount, items):
    return {"amount": amount, "price": amount / items}


@ow.label(key="order_id", event_time="ordered_at", available_at="recorded_at")
def returned(sold):
    return sold.select(
        "order_id", "ordered_at", "recorded_at", "customer", "amount", "items", "returned"
    )


@ow.model(
    features=[habits, basket],
    label=returned,
    task="binary",
    holdout=0.3,
    search={"c": ow.real(0.01, 10, log=True)},
)
def order_return(X, y, c=1.0):
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    steps = make_pipeline(StandardScaler(), LogisticRegression(C=c))
    return steps.fit(X.fillna(0.0), y)


pipeline = ow.Pipeline(
    model=order_return,
    gates=[ow.at_least("roc_auc", 0.6), ow.beats_champion("roc_auc", margin=-0.05)],
    release=ow.Canary(steps=[10, 50], bake="1s", minimum=50, deadline="30d"),
    monitors=[ow.operational(), ow.drift(), ow.performance("roc_auc"), ow.freshness("30d")],
    every="7d",
    on_breach=ow.retrain(cooldown="7d", persist=2),
)
'''


def write_orders(
    folder: Path,
    name: str,
    *,
    rows: int = 400,
    start: datetime = START,
    days: int = 40,
    seed: int = 0,
    bad: int = 0,
    flip: bool = False,
) -> Path:
    """Write one file of orders over `days` from `start`; `bad` rows break the row rule.

    Dear orders come back more often; with `flip`, cheap ones do.
    """
    chance = random.Random(seed)
    target = folder / "data" / "orders" / f"{name}.csv"
    target.parent.mkdir(parents=True, exist_ok=True)
    columns = ["order_id", "ordered_at", "recorded_at", "customer", "amount", "items", "returned"]
    with target.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        for i in range(rows):
            at = start + timedelta(seconds=days * 86_400 * i / rows)
            amount = round(chance.lognormvariate(3, 0.8), 2)
            likely = (amount < 20) if flip else (amount > 20)
            returned = int(chance.random() < (0.7 if likely else 0.15))
            writer.writerow(
                [
                    f"{name}-{i}",
                    at.isoformat(),
                    (at + timedelta(days=1)).isoformat(),
                    f"c{chance.randrange(40)}",
                    -1.0 if i < bad else amount,
                    chance.randrange(1, 6),
                    returned,
                ]
            )
    return target


def new_shop(folder: Path) -> Path:
    """Write the small project into `folder`, with its first 400 orders, ten of them bad."""
    folder.mkdir(parents=True)
    (folder / "pipeline.py").write_text(PIPELINE)
    (folder / "onward.toml").write_text('[project]\nname = "shop"\n[gateway]\nport = 0\n')
    write_orders(folder, "first", bad=10)
    return folder


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """The small project in a folder of its own."""
    return new_shop(tmp_path / "shop")


@pytest.fixture(scope="session")
def shops() -> Callable[[Path], Path]:
    """`new_shop`, for fixtures that outlive one test."""
    return new_shop


@pytest.fixture(scope="session")
def add_orders() -> Callable[..., Path]:
    """`write_orders`, for fixtures that outlive one test."""
    return write_orders


@pytest.fixture
def orders() -> Callable[..., Path]:
    """`write_orders`, for tests that add data."""
    return write_orders


@pytest.fixture(scope="session")
def at_any_speed() -> Callable[[Path], None]:
    """Takes the time out of a pipeline file's latency gate: machines that run tests are busy."""

    def relax(pipeline: Path) -> None:
        code, found = re.subn(
            r"latency\(p99_ms=\d+", "latency(p99_ms=600_000", pipeline.read_text()
        )
        assert found == 1
        pipeline.write_text(code)

    return relax
