from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onward.core.errors import DataError
from onward.core.estimator import (
    class_name,
    classes_of,
    encoded,
    features_of,
    holdout_start,
    labels_of,
)
from onward.core.records import Column, FeaturePlan

PLAN = FeaturePlan(
    columns=(Column(name="b", dtype="double"), Column(name="a", dtype="string")),
    views=(), on_demand=(), request=(), key=(),
)  # fmt: skip


@given(
    times=st.lists(st.integers(0, 20), min_size=2, max_size=60).map(sorted),
    share=st.floats(0.05, 0.95),
)
def test_no_moment_is_on_both_sides_and_enough_is_held_out(times, share):
    try:
        start = holdout_start(times, share)
    except DataError:
        assert times[int(len(times) * (1 - share))] == times[0]
    else:
        assert times[start - 1] < times[start]
        assert len(times) - start >= int(len(times) * share)


def test_no_rows_cannot_be_split():
    with pytest.raises(DataError, match="0 rows"):
        holdout_start([], 0.2)


def test_x_has_the_plans_columns_in_its_order_as_float_or_text():
    table = pa.table({"a": ["x", None], "b": [1, None], "label": [0, 1]})
    x = features_of(table, PLAN)
    assert list(x.columns) == ["b", "a"]
    assert x["b"].dtype == np.float64
    assert np.isnan(x["b"][1])
    assert x["a"].isna().tolist() == [False, True]


@pytest.mark.parametrize("values", [[0, 1], [False, True], [0.0, 1.0]])
def test_binary_labels_are_zero_and_one(values):
    y = labels_of(pa.table({"label": values}), "binary", "late")
    assert (y.tolist(), y.name, y.dtype) == ([0, 1], "late", np.dtype("int64"))


def test_labels_that_are_missing_or_no_binary_ones_are_refused():
    with pytest.raises(DataError, match="missing in 1 of 2 rows"):
        labels_of(pa.table({"label": [1, None]}), "regression", "late")
    with pytest.raises(DataError, match="holds 0, 2"):
        labels_of(pa.table({"label": [2, 0]}), "binary", "late")


def test_classes_are_encoded_in_the_estimators_order():
    class Fitted:
        classes_ = np.array(["b", "a"])

    classes = classes_of(Fitted(), "multiclass")
    y = labels_of(pa.table({"label": ["a", "b", "new"]}), "multiclass", "kind")
    assert classes == ["b", "a"]
    assert encoded(y, classes).tolist() == [1, 0, 2]
    assert classes_of(Fitted(), "regression") is None


def test_classes_are_named_as_the_gateway_answers_them():
    assert [*map(class_name, ("late", 3, True, 2.5))] == ["late", "3", "1", "2.5"]
