"""Every metric against scikit-learn's, on weighted rows with ties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from onward.stages.evaluate.metrics import metrics_of, standard

SKLEARN = {
    ("binary", "roc_auc"): reference.roc_auc_score,
    ("binary", "average_precision"): reference.average_precision_score,
    ("binary", "log_loss"): reference.log_loss,
    ("binary", "brier"): reference.brier_score_loss,
    ("binary", "accuracy"): lambda y, p, **w: reference.accuracy_score(y, p >= 0.5, **w),
    ("multiclass", "accuracy"): lambda y, p, **w: reference.accuracy_score(y, p.argmax(1), **w),
    ("multiclass", "log_loss"): lambda y, p, **w: reference.log_loss(y, p, labels=[0, 1, 2], **w),
    ("multiclass", "macro_f1"): lambda y, p, **w: reference.f1_score(
        y, p.argmax(1), average="macro", **w
    ),
    ("regression", "rmse"): reference.root_mean_squared_error,
    ("regression", "mae"): reference.mean_absolute_error,
    ("regression", "r2"): reference.r2_score,
}


def rows(task, seed, n):
    rng = np.random.default_rng(seed)
    if task == "binary":
        return rng.integers(0, 2, n), rng.integers(0, 8, n) / 8 + 0.01  # ties
    if task == "multiclass":
        return rng.integers(0, 3, n), rng.dirichlet([1, 1, 1], n)
    return rng.normal(size=n), rng.normal(size=n)


def test_every_metric_has_a_reference():
    ours = {(t, n) for t in ("binary", "multiclass", "regression") for n in metrics_of(t)}
    assert ours == SKLEARN.keys()


@pytest.mark.parametrize(("task", "name"), SKLEARN)
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(4, 60))
def test_weighted_metrics_equal_sklearns(task, name, seed, n):
    y, predictions = rows(task, seed, n)
    weights = np.random.default_rng(seed + 1).integers(0, 4, n).astype(float)
    drawn = weights > 0
    assume(len(np.unique(y[drawn])) > 1)
    expected = SKLEARN[task, name](y[drawn], predictions[drawn], sample_weight=weights[drawn])
    found = metrics_of(task)[name].of(y, predictions)(weights)
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_a_metric_called_counts_every_row_once():
    y, predictions = rows("binary", 1, 50)
    found = standard("binary")(y, predictions)
    assert found == pytest.approx(reference.roc_auc_score(y, predictions))


@pytest.mark.parametrize(("task", "name"), [("binary", "roc_auc"), ("binary", "average_precision")])
def test_one_class_alone_defines_no_ranking(task, name):
    y = np.zeros(3, dtype=int)
    assert np.isnan(metrics_of(task)[name](y, np.array([0.1, 0.2, 0.3])))


def test_a_class_that_training_never_saw_is_always_wrong():
    y = np.array([0, 1, 2])  # two classes are known, index 2 stands for any other
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.5, 0.5]])
    found = {n: m(y, probabilities) for n, m in metrics_of("multiclass").items()}
    assert found["accuracy"] == pytest.approx(2 / 3)
    assert found["log_loss"] > 10
    assert found["macro_f1"] == pytest.approx((2 / 3 + 1 + 0) / 3)


def test_gain_is_positive_where_it_is_better():
    assert metrics_of("binary")["roc_auc"].gain(0.8, 0.7) == pytest.approx(0.1)
    assert metrics_of("regression")["rmse"].gain(0.8, 0.7) == pytest.approx(-0.1)
