from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from production_window import features, predictions

import onward as ow
from onward.core.errors import DeclarationError
from onward.core.records import Column
from onward.stages.monitor import bins
from onward.stages.monitor.drift import drift


def read(observed, **declared):
    return {r.subject: r for r in drift(ow.drift(**declared), observed)}


def flipped(rows: int, seed: int = 2):
    """Temperatures far off, rain missing, and a new airport: everything drifts."""
    found = features(rows, seed, shift=3)
    found["rain"][:] = np.nan
    found["origin"] = np.where(np.arange(rows) % 3 == 0, "JFK", "PHL")
    return found


@pytest.mark.parametrize("measure", ["psi", "jensen_shannon"])
@pytest.mark.parametrize("seed", range(5))
def test_more_of_the_same_is_no_drift(observed, measure, seed):
    limit = 0.1 if measure == "psi" else 0.15
    scores = np.random.default_rng(9).beta(2, 5, 4_000)
    answered = np.random.default_rng(seed).beta(2, 5, 300)
    window = predictions(features(300, seed=seed + 10), output=answered)
    seen = observed(predictions=window, reference_scores=scores)
    found = read(seen, measure=measure, limit=limit)
    assert [r.breached for r in found.values()] == [False] * 6
    assert all(r.value < limit for r in found.values() if r.value is not None)


@pytest.mark.parametrize("measure", ["psi", "jensen_shannon"])
def test_what_moved_is_named(observed, measure):
    window = predictions(flipped(2_000), output=np.full(2_000, 0.9))
    seen = observed(predictions=window, reference_scores=np.linspace(0, 0.8, 500))
    found = read(seen, measure=measure)
    assert found["data"].breached
    assert found["data"].value == 1.0
    assert found["data"].detail.startswith("3 of 3 features beyond 0.2: ")
    assert found["prediction"].breached
    for name in ("temp", "rain", "origin"):
        assert found[f"column {name}"].value > 0.2
        assert not found[f"column {name}"].breached
        assert name in found["data"].detail
    assert "100% missing, 5% in training" in found["column rain"].detail


def test_a_share_of_the_features_makes_the_data_drift(observed):
    columns = features(2_000, seed=2)
    columns["temp"] += 30
    seen = observed(predictions=predictions(columns))
    assert read(seen, share=0.34)["data"].value == pytest.approx(1 / 3)
    assert not read(seen, share=0.34)["data"].breached
    assert read(seen, share=0.33)["data"].breached
    picked = read(seen, columns=["rain", "origin"])
    assert set(picked) == {"column rain", "column origin", "data", "prediction"}
    assert picked["data"].value == 0
    assert picked["data"].detail == "0 of 2 features beyond 0.2"


def test_text_that_the_log_does_not_hold_is_not_judged(observed):
    found = read(observed())
    assert found["column kind"].value is None
    assert found["column kind"].detail == "a text feature is not in the log"
    alone = read(observed(), columns=["kind"])
    assert (alone["data"].value, alone["data"].detail) == (None, "no feature could be judged")


def test_new_and_missing_categories_are_drift(observed):
    columns = features(1_000, seed=2)
    columns["origin"] = np.where(np.arange(1_000) % 2 == 0, "", "EWR")
    found = read(observed(predictions=predictions(columns)))
    assert found["column origin"].value > 0.2
    assert "50% missing, 0% in training" in found["column origin"].detail


def test_too_few_rows_tell_nothing(observed):
    few = predictions(flipped(199), output=np.ones(199))
    found = read(observed(predictions=few, reference_scores=np.zeros(500)))
    assert {r.value for r in found.values()} == {None}
    assert not any(r.breached for r in found.values())
    assert found["column temp"].detail == "199 rows against 5,000: 200 are needed on either side"
    assert found["prediction"].detail == "199 rows against 500: 200 are needed on either side"
    empty = read(observed(predictions=few.slice(0, 0)))
    assert empty["column temp"].detail.startswith("0 rows against 5,000")


def test_other_versions_and_failed_answers_do_not_count(observed):
    mine = predictions(features(400, seed=2))
    other = predictions(flipped(400), version=4)
    failed = predictions(flipped(400), status=500)
    found = read(observed(predictions=pa.concat_tables([mine, other, failed])))
    assert "on 400 rows" in found["column temp"].detail
    assert found["data"].value == 0


def test_without_held_out_predictions_answers_are_not_judged(observed):
    found = read(observed())["prediction"]
    assert found.value is None
    assert found.detail == "there are no held-out predictions to compare with"


def test_a_column_that_is_none_is_refused_with_the_nearest(observed):
    with pytest.raises(DeclarationError) as told:
        read(observed(), columns=["tmp"])
    assert "there is no feature 'tmp'" in str(told.value)
    assert "did you mean 'temp'?" in str(told.value)
    assert told.value.location.file == __file__


def test_the_reference_is_a_sample_over_time(observed, monkeypatch):
    monkeypatch.setattr("onward.stages.monitor.drift.REFERENCE", 1_000)
    assert "rows" in read(observed())["column temp"].detail
    found = read(observed(predictions=predictions(features(100, 3))))
    assert found["column temp"].detail.startswith("100 rows against 1,000")


def test_a_feature_named_prediction_is_a_feature(observed, tmp_path: Path):
    training = observed().training
    rows = features(500, seed=1)
    rows["prediction"] = rows.pop("temp")
    pq.write_table(pa.table(rows), tmp_path / "t.parquet")
    columns = (Column(name="prediction", dtype="double"), *training.plan.columns[1:])
    plan = replace(training.plan, columns=columns)
    trained = replace(training, path=str(tmp_path / "t.parquet"), rows=500, plan=plan)
    seen = observed(training=trained, reference_scores=np.full(500, 0.9))
    found = read(seen)
    assert found["column prediction"].value < 0.1
    assert found["prediction"].value > 1


# ---------------------------------------------------------------- bins

VALUES = st.lists(
    st.sampled_from([0.0, 1.0, float("nan")]) | st.floats(-1e6, 1e6), min_size=1, max_size=60
)


@settings(deadline=None, max_examples=60)
@given(reference=VALUES, seen=VALUES)
def test_duckdb_counts_as_numpy_does(reference, seen):
    import duckdb

    cut = bins.numeric(np.array(reference))
    assert cut.reference.sum() == len(reference)
    table = pa.table({"x": pa.array(seen, pa.float64())})
    with duckdb.connect() as connection:
        connection.register("t", table)
        [by_bin] = connection.execute(f"SELECT {cut.aggregate('x')} FROM t").fetchone()
    counts = bins.counted(cut, by_bin, len(seen))
    known = np.array([value for value in seen if not np.isnan(value)])
    expected = np.bincount(np.searchsorted(cut.edges, known), minlength=len(cut.edges) + 1)
    assert counts.tolist() == [*expected, len(seen) - len(known)]


TEXTS = st.lists(st.none() | st.sampled_from(["", "a", "it's", 'say "x"', "é"]), max_size=30)


@settings(deadline=None, max_examples=40)
@given(reference=TEXTS, seen=TEXTS)
def test_categories_are_counted_whatever_they_hold(reference, seen):
    import duckdb

    cut = bins.text(pa.chunked_array([pa.array(reference, pa.string())]))
    assert cut.reference.sum() == len(reference)
    with duckdb.connect() as connection:
        connection.register("t", pa.table({"x": pa.array(seen, pa.string())}))
        [by_bin] = connection.execute(f"SELECT {cut.aggregate('x')} FROM t").fetchone()
    counts = bins.counted(cut, by_bin, len(seen))
    others = [t for t in seen if t is not None and t not in cut.categories]
    assert counts.tolist() == [
        *(seen.count(category) for category in cut.categories), len(others), seen.count(None),
    ]  # fmt: skip


def test_frequent_categories_get_bins_and_the_rest_share_one():
    values = [f"c{n:02}" for n in range(30) for _ in range(31 - n)]
    cut = bins.text(pa.chunked_array([values]))
    assert cut.categories == tuple(f"c{n:02}" for n in range(20))
    assert cut.reference[-2] == sum(31 - n for n in range(20, 30))


@pytest.mark.parametrize("value", [0.0, 5.0, -1e300])
def test_a_constant_has_a_bin_alone(value):
    cut = bins.numeric(np.full(50, value))
    assert cut.reference.tolist() == [0, 50, 0, 0]
    assert cut.edges[1] == value
    assert bins.numeric(np.full(3, np.nan)).reference.tolist() == [0, 3]
