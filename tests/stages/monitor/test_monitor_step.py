from __future__ import annotations

from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from production_window import NOW, START, features, predictions

import onward as ow
from onward.core.clock import ReplayClock
from onward.core.errors import DeclarationError
from onward.stages.monitor.operational import operational, wilson_low
from onward.stages.monitor.step import report


def made(observed, *monitors):
    return report(
        monitors,
        model="flight_delay",
        run_id="w1",
        window=(START, NOW),
        observed=observed,
        clock=ReplayClock(NOW),
    )


def test_a_report_holds_every_reading_in_order(observed):
    seen = observed(
        predictions=predictions(features(2_000, seed=2), truth=np.arange(1_500) % 2),
        newest={"flights": NOW - timedelta(hours=3)},
    )
    found = made(seen, ow.freshness("2h"), ow.operational(), ow.performance("roc_auc"), ow.drift())
    assert (found.id, found.model, found.at) == ("w1", "flight_delay", NOW)
    assert (found.window_start, found.window_end) == (START, NOW)
    assert (found.predictions, found.labelled) == (2_000, 1_500)
    assert [(r.monitor, r.subject) for r in found.results] == [
        ("freshness", "flights"), ("operational", "error rate"), ("performance", "roc_auc"),
        ("drift", "column temp"), ("drift", "column rain"), ("drift", "column origin"),
        ("drift", "column kind"), ("drift", "data"), ("drift", "prediction"),
    ]  # fmt: skip
    assert {r.subject for r in found.breaches} == {"flights", "roc_auc"}
    assert made(seen, ow.drift()) == made(seen, ow.drift())


def test_a_window_without_predictions_is_told_as_that(observed):
    seen = observed(predictions=predictions(features(1, 1)).slice(0, 0))
    found = made(seen, ow.operational(p99_ms=5), ow.performance("roc_auc"), ow.drift())
    assert found.predictions == 0
    assert {r.value for r in found.results} == {None}
    assert found.breaches == ()


def test_no_monitor_reads_nothing(observed):
    assert made(observed()).results == ()


# ---------------------------------------------------------------- operational


def answers(good: int, failed: int, refused: int = 0, latency_us: int = 900) -> pa.Table:
    status = [200] * good + [503] * failed + [400] * refused
    return predictions(features(len(status), 1), status=status, latency_us=latency_us)


@pytest.mark.parametrize(
    ("good", "failed", "breached"),
    [(19, 1, False), (990, 10, False), (970, 30, True), (0, 1, True), (1_000, 0, False)],
)
def test_an_error_rate_breaches_when_it_is_surely_above(good, failed, breached):
    [found] = operational(ow.operational(max_error_rate=0.01), answers(good, failed))
    assert found.value == failed / (good + failed)
    assert found.breached == breached
    assert found.detail == f"{failed} of {good + failed:,} answers failed"


def test_a_callers_mistake_is_no_error():
    [found] = operational(ow.operational(), answers(50, 0, refused=50))
    assert (found.value, found.breached) == (0.0, False)


def test_slow_answers_breach():
    window = pa.concat_tables([answers(950, 0), answers(50, 0, latency_us=30_000)])
    _, found = operational(ow.operational(p99_ms=25), window)
    assert (found.value, found.breached) == (30.0, True)
    assert found.detail == "30.00 ms at the 99th percentile of 1,000 answers"
    _, found = operational(ow.operational(p99_ms=35), window)
    assert not found.breached
    _, few = operational(ow.operational(p99_ms=0.1), answers(199, 5))
    assert (few.value, few.detail) == (None, "199 answers: 200 are needed")


@given(rows=st.integers(1, 10_000), share=st.floats(0, 1))
def test_the_lower_end_is_below_the_share(rows, share):
    hits = round(share * rows)
    assert 0 <= wilson_low(hits, rows) <= hits / rows + 1e-12


def test_wilsons_interval_is_his():
    assert wilson_low(10, 100) == pytest.approx(0.0552, abs=1e-4)
    assert wilson_low(0, 0) == 0


# ---------------------------------------------------------------- freshness


def test_a_source_that_stopped_is_not_fresh(observed):
    seen = observed(newest={
        "flights": NOW - timedelta(hours=2), "weather": NOW - timedelta(hours=2, seconds=1),
        "planes": None,
    })  # fmt: skip
    found = {r.subject: r for r in made(seen, ow.freshness("2h")).results}
    assert {name: r.breached for name, r in found.items()} == {
        "flights": False, "planes": True, "weather": True,
    }  # fmt: skip
    assert (found["flights"].value, found["flights"].limit) == (7_200, 7_200)
    assert found["planes"].value is None
    assert found["planes"].detail == "there are no rows"
    assert found["flights"].detail == "the newest row is of 2013-06-07 22:00 UTC"
    [only] = made(seen, ow.freshness("1d", source="weather")).results
    assert (only.subject, only.breached) == ("weather", False)


def test_a_source_that_is_none_is_refused(observed):
    with pytest.raises(DeclarationError, match="no source 'wether'") as told:
        made(observed(newest={"weather": NOW}), ow.freshness("1d", source="wether"))
    assert told.value.location.file == __file__
