"""The skew monitor: vectors held against vectors, and what of it is a breach."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import onward as ow
from onward.core.errors import DeclarationError
from onward.core.records import FeatureSkew, MonitorResult, SkewReport
from onward.stages.monitor.freshness import freshness
from onward.stages.monitor.skew import compare, skew

NOW = datetime(2013, 6, 1, tzinfo=UTC)


def doubles(*values: float | None) -> pa.Array:
    return pa.array(values, pa.float64())


def test_each_kind_of_difference_is_counted_and_the_newest_is_named() -> None:
    served = pa.table(
        {"a": doubles(1.0, 2.0, math.nan, 4.0, 0.0), "b": ["x", None, "y", None, "z"]}
    )
    again = pa.table({"a": doubles(1.0, 1.0, 3.0, None, 0.0), "b": ["x", "w", "v", None, None]})
    [a, b], differing = compare(served, again, ["p1", "p2", "p3", "p4", "p5"])
    assert a == FeatureSkew(
        feature="a", mismatched=1, missing=1, extra=1, smape=pytest.approx((2 / 3) / 3),
        example="p4",
    )  # fmt: skip
    assert b == FeatureSkew(feature="b", mismatched=1, missing=1, extra=1, smape=None, example="p5")
    assert (a.differing, differing) == (3, 4)


@given(st.lists(st.none() | st.floats(allow_nan=False, allow_infinity=False, width=32), min_size=1))
def test_what_is_served_as_it_is_recomputed_never_differs(values: list[float | None]) -> None:
    table = pa.table({"a": doubles(*values)})
    nearly = pa.table({"a": doubles(*(v and v * (1 + 1e-12) for v in values))})
    [found], differing = compare(table, nearly, [str(n) for n in range(len(values))])
    assert (found.differing, found.example, differing) == (0, None, 0)


def report(rows: int, *features: FeatureSkew) -> SkewReport:
    return SkewReport(
        model="m", version=1, window_start=NOW, window_end=NOW, sample=1.0, rows=rows,
        differing=max((f.differing for f in features), default=0), features=features,
    )  # fmt: skip


def feature(name: str, mismatched: int) -> FeatureSkew:
    example = "p1" if mismatched else None
    return FeatureSkew(
        feature=name, mismatched=mismatched, missing=0, extra=0, smape=0.1, example=example
    )


def test_a_feature_that_differs_too_often_is_a_breach_that_says_where_to_look() -> None:
    found = report(200, feature("good", 0), feature("fair", 2), feature("bad", 3))
    readings = list(skew(ow.skew(max_mismatch=0.01), found))
    assert [(r.subject, r.value, r.breached) for r in readings] == [
        ("feature good", 0.0, False), ("feature fair", 0.01, False), ("feature bad", 0.015, True),
    ]  # fmt: skip
    assert readings[2].detail == ("of 200 vectors served 3 otherwise; SMAPE 0.1; one is p1")
    assert (found.same, found.worst) == (1 - 3 / 200, found.features[2])


@pytest.mark.parametrize("found", [None, report(0), report(99, feature("bad", 99))])
def test_too_few_vectors_tell_nothing(found: SkewReport | None) -> None:
    [reading] = skew(ow.skew(), found)
    assert (reading.value, reading.breached) == (None, False)
    assert "100 are needed" in reading.detail


def test_without_vectors_all_of_them_are_the_same() -> None:
    assert (report(0).same, report(0).worst, report(5, feature("a", 0)).worst) == (1.0, None, None)


@pytest.mark.parametrize("wrong", [{"sample": 0.0}, {"sample": 1.1}, {"max_mismatch": 1.0}])
def test_a_share_that_is_none_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(DeclarationError, match=r"test_skew\.py"):
        ow.skew(**wrong)


def test_a_view_is_as_fresh_as_its_newest_row_online() -> None:
    views = {"habits": NOW - timedelta(hours=3), "empty": None}

    def reading(limit: str, view: str) -> MonitorResult:
        [found] = freshness(ow.freshness(limit, view=view), {"orders": NOW}, views, NOW)
        return found

    fresh = reading("4h", "habits")
    assert (fresh.subject, fresh.value, fresh.breached) == ("view habits", 3 * 3600.0, False)
    assert reading("2h", "habits").breached
    assert reading("2h", "empty").breached
    with pytest.raises(DeclarationError, match="did you mean 'habits'"):
        reading("2h", "habit")
    with pytest.raises(DeclarationError, match=r"one ow\.freshness"):
        ow.freshness("2h", view="habits", source="orders")
