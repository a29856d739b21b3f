"""On-demand features from a request: what is read, what is refused, what travels."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import cloudpickle
import numpy as np
import pandas as pd
import pytest

import onward as ow
from onward.core.errors import DataError
from onward.core.records import Column, FeaturePlan, OnDemandPlan
from onward.stages.features.columns import TIME
from onward.stages.features.on_demand import OnDemand
from onward.stages.features.request import OnDemandFeatures, outputs
from onward.stages.features.request_columns import typed

REQUEST = {
    "flight_id": "string",
    "at": TIME,
    "distance": "int64",
    "temp": "double",
    "hub": "bool",
    "origin": "string",
}


@ow.on_demand
def calendar(at):
    return {"hour": at.dt.hour, "weekday": at.dt.day_of_week}


@ow.on_demand
def weather(temp, distance, hub, origin):
    return pd.DataFrame(
        {"cold": temp < 32, "per_mile": temp / distance, "hub": hub, "place": origin + "!"}
    )


def plan(*parts: tuple[OnDemand, dict[str, str]]) -> FeaturePlan:
    return FeaturePlan(
        columns=tuple(Column(name=n, dtype=t) for _, given in parts for n, t in given.items()),
        views=(),
        on_demand=tuple(
            OnDemandPlan(name=f.name, inputs=f.inputs, outputs=tuple(given)) for f, given in parts
        ),
        request=tuple(Column(name=n, dtype=t) for n, t in REQUEST.items()),
        key=("flight_id",),
    )


PLAN = plan(
    (calendar, {"hour": "double", "weekday": "double"}),
    (weather, {"cold": "double", "per_mile": "double", "hub": "double", "place": "string"}),
)


@pytest.fixture
def features() -> OnDemandFeatures:
    return OnDemandFeatures(PLAN, (calendar, weather))


def request(**changed: Any) -> dict[str, list[Any]]:
    sent = {
        "flight_id": ["UA1", "UA2", "UA3"],
        "at": ["2013-01-01T12:30:00Z", "2013-01-02T01:00:00+02:00", None],
        "distance": [100, 0, None],
        "temp": [31, 50.5, None],
        "hub": [True, False, None],
        "origin": ["EWR", "JFK", None],
    }
    return {**sent, **changed}


def test_json_becomes_features(features: OnDemandFeatures) -> None:
    found = {name: list(array) for name, array in features.columns(request()).items()}
    nan = pytest.approx(math.nan, nan_ok=True)
    assert found == {
        "hour": [12.0, 23.0, nan],
        "weekday": [1.0, 1.0, nan],
        "cold": [1.0, 0.0, 0.0],
        "per_mile": [0.31, nan, nan],
        "hub": [1.0, 0.0, nan],
        "place": ["EWR!", "JFK!", None],
    }
    types = {name: array.dtype for name, array in features.columns(request()).items()}
    assert types.pop("place") == np.dtype(object)
    assert set(types.values()) == {np.dtype(np.float64)}


def test_types_do_not_depend_on_the_values() -> None:
    seen = []
    for rows in (slice(0, 1), slice(2, 3), slice(0, 0)):
        sent = {name: values[rows] for name, values in request().items()}
        series, _ = typed(PLAN.request, set(REQUEST), sent)
        seen.append({name: str(s.dtype) for name, s in series.items()})
    assert seen[0] == seen[1] == seen[2]
    assert seen[0] == {
        "flight_id": "str", "at": "datetime64[us, UTC]", "distance": "float64",
        "temp": "float64", "hub": "boolean", "origin": "str",
    }  # fmt: skip


def test_typed_values_give_what_json_gives(features: OnDemandFeatures) -> None:
    json = features.columns(request())
    series, _ = typed(PLAN.request, set(REQUEST), request())
    frame = pd.DataFrame(series)
    for sent in (
        {name: frame[name] for name in frame},
        {name: frame[name].to_numpy() for name in frame},
    ):
        again = features.columns(sent)
        for name, array in json.items():
            pd.testing.assert_series_equal(pd.Series(again[name]), pd.Series(array))


def test_no_rows_give_no_rows(features: OnDemandFeatures) -> None:
    found = features.columns({name: [] for name in REQUEST})
    assert {len(array) for array in found.values()} == {0}


def test_a_date_is_its_midnight_and_columns_beyond_the_plan_are_let_be(
    features: OnDemandFeatures,
) -> None:
    found = features.columns(request(at=["2013-01-05"] * 3, other=["?"]))
    assert list(found["hour"]) == [0.0] * 3


def test_it_travels_with_its_functions_by_value(features: OnDemandFeatures) -> None:
    import sys

    module = sys.modules[__name__]
    cloudpickle.register_pickle_by_value(module)
    try:
        again = cloudpickle.loads(cloudpickle.dumps(features))
    finally:
        cloudpickle.unregister_pickle_by_value(module)
    assert again.plan == PLAN
    assert list(again.columns(request())["hour"])[:2] == [12.0, 23.0]


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"temp": ["31", 1, 1]}, "'temp' holds '31'\n  expected: double: a number or null"),
        ({"temp": [True, 1, 1]}, "'temp' holds True"),
        ({"temp": [10**400, 1, 1]}, "'temp' holds 1000"),
        ({"distance": [1.5, 1, 1]}, "'distance' holds 1.5\n  expected: int64: a whole number"),
        ({"distance": [2**70, 1, 1]}, "'distance' holds 1.18"),
        ({"distance": [math.inf, 1, 1]}, "'distance' holds inf"),
        ({"origin": [1, "a", "b"]}, "'origin' holds 1\n  expected: string: text or null"),
        ({"flight_id": [1, "a", "b"]}, "'flight_id' holds 1"),
        ({"hub": ["yes", True, None]}, "'hub' holds 'yes'\n  expected: bool: true, false"),
        ({"hub": [2, True, None]}, "'hub' holds 2"),
        ({"at": ["noon", None, None]}, "'at' holds 'noon'"),
        ({"at": ["2013-01-01T12:30:00", None, None]}, "a time with its offset, such as"),
        ({"at": [17, None, None]}, "'at' holds 17"),
        ({"at": ["2013-01-01T12:30:00Z", None, "noon"]}, "'at' holds 'noon'"),
        ({"temp": [1, 2]}, "'temp' has 2 values and 'flight_id' has 3"),
    ],
)
def test_a_value_that_does_not_fit_is_named(
    features: OnDemandFeatures, changed: dict[str, Any], says: str
) -> None:
    with pytest.raises(DataError) as refused:
        features.columns(request(**changed))
    assert says in str(refused.value)


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("distance", [100.0, 7.0, 8.0]),
        ("hub", [1, 0.0, None]),
        ("hub", np.array([True, False, True])),
    ],
)
def test_what_a_training_set_stores_as_numbers_is_read_back(
    features: OnDemandFeatures, column: str, values: Any
) -> None:
    assert features.columns(request(**{column: values}))


def test_a_misspelt_column_is_recognised(features: OnDemandFeatures) -> None:
    sent = request()
    sent["distanse"] = sent.pop("distance")
    with pytest.raises(DataError, match=r"no column 'distance'\n.*'distanse'"):
        features.columns(sent)


def of(body: Callable[..., Any], **given: str) -> OnDemandFeatures:
    function = ow.on_demand(body)
    return OnDemandFeatures(plan((function, given)), (function,))


def other_order(temp):
    return {"f": temp.sort_index(ascending=False)}


def fewer(temp):
    return {"f": temp.dropna()}


def a_scalar(temp):
    return {"f": 1.0}


def a_list(temp):
    return {"f": [1.0] * len(temp)}


def nothing(temp):
    return None


def another_name(temp):
    return {"g": temp}


def text_now(origin):
    return {"f": origin}


def a_time(at):
    return {"f": at}


def numbers_now(temp):
    return {"s": temp}


def raises(temp):
    return {"f": temp["x"]}


@pytest.mark.parametrize(
    ("body", "given", "says"),
    [
        (other_order, {"f": "double"}, "'f' of on-demand function 'other_order' has its rows in"),
        (fewer, {"f": "double"}, "of shape (2,)\n  expected: 3 values, one per row"),
        (a_scalar, {"f": "double"}, "is float\n  expected: 3 values"),
        (a_list, {"f": "double"}, "is list\n  expected: 3 values"),
        (nothing, {"f": "double"}, "returns NoneType\n  expected: a mapping"),
        (another_name, {"f": "double"}, "gives g\n  expected: what it gave in training: f"),
        (text_now, {"f": "double"}, "holds 'EWR'\n  expected: numbers, as it did in training"),
        (a_time, {"f": "double"}, "holds"),
        (numbers_now, {"s": "string"}, "holds 31.0\n  expected: text, as it did in training"),
        (raises, {"f": "double"}, "on-demand function 'raises' fails: KeyError: 'x'"),
    ],
)
def test_a_function_at_fault_is_named_where_it_stands(
    body: Callable[..., Any], given: dict[str, str], says: str
) -> None:
    with pytest.raises(DataError) as refused:
        of(body, **given).columns(request())
    assert says in str(refused.value)
    assert refused.value.location is not None
    assert refused.value.location.file == __file__


def test_an_error_is_placed_at_its_line() -> None:
    with pytest.raises(DataError) as refused:
        of(raises, f="double").columns(request())
    assert refused.value.location is not None
    assert refused.value.location.line == raises.__code__.co_firstlineno + 1


def described(body: Callable[..., Any]) -> dict[str, str]:
    function = ow.on_demand(body)
    series, count = typed(PLAN.request, set(REQUEST), request())
    return {column.name: column.dtype for column in outputs(function, series, count)}


def many_kinds(temp, distance, hub, origin):
    return {
        "number": temp, "flag": hub, "test": temp > 3, "whole": distance.astype("Int64"),
        "text": origin, "object": pd.Series(["a", None, "b"]), "array": np.arange(len(temp)),
        "kind": origin.astype("category"), "none": pd.Series([None] * len(temp)),
        "mixed": pd.Series([1, 2.5, None], dtype=object), "masked": hub.astype(object),
    }  # fmt: skip


def test_outputs_are_numbers_or_text() -> None:
    assert described(many_kinds) == {
        "number": "double", "flag": "double", "test": "double", "whole": "double",
        "text": "string", "object": "string", "array": "double", "kind": "string",
        "none": "double", "mixed": "double", "masked": "double",
    }  # fmt: skip
    found = of(many_kinds, **described(many_kinds)).columns(request())
    assert list(found["object"]) == ["a", None, "b"]
    assert list(found["kind"]) == ["EWR", "JFK", None]
    assert list(found["whole"])[:2] == [100.0, 0.0]
    assert np.isnan(found["none"]).all()
    assert list(found["mixed"])[:2] == [1.0, 2.5]
    assert list(found["masked"])[:2] == [1.0, 0.0]


def empty(temp):
    return {}


def two_dimensions(temp):
    return {"f": np.zeros((len(temp), 2))}


def mixed_up(temp):
    return {"f": pd.Series(["a", 1, 2.0], dtype=object)}


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (empty, "gives no features"),
        (two_dimensions, "is float64\n  expected: numbers, booleans or text"),
        (mixed_up, "is object"),
        (a_time, "is datetime64"),
        (fewer, "of shape (2,)"),
    ],
)
def test_what_is_no_feature_is_refused_in_training(body: Callable[..., Any], says: str) -> None:
    with pytest.raises(DataError) as refused:
        described(body)
    assert says in str(refused.value)


def test_what_is_not_finite_is_missing() -> None:
    def divided(temp, distance):
        return {"f": temp / distance}

    found = of(divided, f="double").columns(request(temp=[1, -1, 4], distance=[0, 0, 2]))
    assert list(np.isnan(found["f"])) == [True, True, False]
