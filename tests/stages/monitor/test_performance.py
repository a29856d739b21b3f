from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest
from production_window import NOW, START, features, labels, predictions
from sklearn.metrics import roc_auc_score

import onward as ow
from onward.core.errors import DeclarationError
from onward.stages.evaluate.metrics import metrics_of
from onward.stages.monitor.performance import matured, performance

ROWS = 2_000


@pytest.fixture
def seen(observed):
    """A window in which a score separates the classes by `skill`."""

    def made(skill: float, rows: int = ROWS):
        draw = np.random.default_rng(4)
        truth = (draw.random(rows) < 0.25).astype(np.int8)
        score = 1 / (1 + np.exp(-(draw.normal(size=rows) + skill * truth)))
        window = predictions(features(rows, seed=2), output=score)
        return observed(predictions=window, labels=labels(truth))

    return made


def read(observed, metric="roc_auc", **declared):
    monitor = ow.performance(metric, **declared)
    return performance(monitor, observed, *matured(observed, NOW))


def test_a_model_that_holds_up_is_no_breach(seen):
    found = read(seen(1.0), max_drop=0.03)
    window = seen(1.0)
    truth = window.labels.column("label").to_numpy()
    assert found.value == pytest.approx(roc_auc_score(truth, window.predictions.column("output")))
    assert found.limit == pytest.approx(0.67)
    assert not found.breached
    assert found.detail.startswith(f"{found.value:.3f} (95 %: ")
    assert found.detail.endswith("on 2,000 labels")


def test_a_breach_is_sure(seen):
    assert read(seen(0.2), max_drop=0.03).breached
    nearly = read(seen(0.6), max_drop=0.03)
    assert nearly.value < nearly.limit
    assert not nearly.breached
    assert read(seen(0.6, rows=30_000), max_drop=0.03).breached


def test_an_error_breaches_upwards(seen):
    assert read(seen(1.0), "brier", max_drop=0.01).breached
    assert read(seen(1.0), "brier", max_drop=0.01).limit == pytest.approx(0.16)
    assert not read(seen(1.0), "brier", max_drop=0.5).breached


def test_the_stricter_limit_counts(seen):
    assert read(seen(1.0), max_drop=0.05).limit == pytest.approx(0.65)
    assert read(seen(1.0), max_drop=0.05, at_least=0.69).limit == 0.69
    assert read(seen(1.0), at_least=0.5).limit == 0.5
    assert read(seen(1.0), "brier", max_drop=0.05, at_least=0.17).limit == 0.17
    assert read(seen(1.0)).limit == pytest.approx(0.65)


def test_too_few_labels_tell_nothing(seen):
    found = read(seen(0.0, rows=150), at_least=0.9)
    assert (found.value, found.breached) == (None, False)
    assert found.detail == "150 labels known: 200 are needed"
    assert read(seen(0.0, rows=150), at_least=0.9, minimum=100).breached
    bare = read(replace(seen(0.0), labels=None), at_least=0.9)
    assert bare.detail == "0 labels known: 200 are needed"


def test_one_class_tells_nothing(seen):
    found = read(replace(seen(1.0), labels=labels(np.zeros(ROWS, np.int8))), at_least=0.9)
    assert (found.value, found.breached) == (None, False)
    assert found.detail == "2,000 labels, all of one class: not defined"


def test_only_labels_that_are_known_count(seen):
    window = seen(1.0)
    later = labels(np.ones(500, np.int8), NOW + timedelta(seconds=1), first=300)
    early = window.labels.slice(0, 300)
    unknown = pa.table({**dict(zip(early.column_names, early.columns, strict=True)),
                        "label": pa.nulls(300, pa.int8())})  # fmt: skip
    several = replace(window, labels=pa.concat_tables([early, later]))
    truth, answers = matured(several, NOW)
    assert len(truth) == len(answers) == 300
    assert len(matured(several, NOW + timedelta(seconds=1))[0]) == 800
    assert len(matured(replace(window, labels=unknown), NOW)[0]) == 0


def test_a_label_that_was_corrected_counts_as_last_known(observed):
    window = predictions(features(2, seed=1))
    corrected = pa.concat_tables(
        [labels(np.array([1], np.int8), START + timedelta(days=1)),
         labels(np.array([0], np.int8), START),
         labels(np.array([0], np.int8), NOW + timedelta(days=9))]
    )  # fmt: skip
    truth, _ = matured(observed(predictions=window, labels=corrected), NOW)
    assert truth.tolist() == [1]


def test_the_last_answer_counts_and_only_this_versions(observed):
    columns = features(1, seed=1)
    first = predictions(columns, output=np.array([0.1]))
    second = first.set_column(
        0, "at", pa.array([START + timedelta(hours=1)], pa.timestamp("us", "UTC"))
    ).set_column(6, "output", pa.array([0.7]))
    other = predictions(columns, output=np.array([0.9]), version=4)
    failed = predictions(columns, output=np.array([0.8]), status=500)
    table = pa.concat_tables([second, first, other, failed])
    seen = observed(predictions=table, labels=labels(np.array([1], np.int8)))
    assert [side.tolist() for side in matured(seen, NOW)] == [[1.0], [0.7]]


def test_numbers_as_keys_join_too(observed):
    window = predictions(features(3, seed=1)).set_column(
        2, "unit", pa.array(["7|EWR", "8|EWR", "x"])
    )
    plan = replace(observed().training.plan, key=("number", "origin"))
    known = pa.table({
        "number": [8, 7], "origin": ["EWR", "EWR"], "label": [1.0, 0.0],
        "available_at": pa.array([START, START], pa.timestamp("us", "UTC")),
    })  # fmt: skip
    seen = observed(
        predictions=window, labels=known, training=replace(observed().training, plan=plan)
    )
    assert matured(seen, NOW)[0].tolist() == [0.0, 1.0]


@pytest.fixture
def classes(observed):
    """A window of 600 answers about three classes, one in ten of them wrong."""
    rows, names = 600, np.array(["late", "lost", "punctual"])
    truth = np.arange(rows) % 3
    answers = np.where(np.arange(rows) % 10 == 0, (truth + 1) % 3, truth)
    outputs = pa.array(list(np.eye(3)[answers] * 0.7 + 0.1))
    window = predictions(features(rows, 1), output=answers.astype(float))
    return observed(
        predictions=window.append_column("outputs", outputs),
        labels=labels(names[truth]),
        training=replace(observed().training, task="multiclass"),
        classes=tuple(names),
        scores=metrics_of("multiclass"),
    )


def test_classes_are_judged_by_all_their_probabilities(classes):
    assert read(classes, "accuracy", at_least=0.85).value == pytest.approx(0.9)
    assert read(classes, "accuracy", at_least=0.95).breached
    expected = -(0.9 * np.log(0.8) + 0.1 * np.log(0.1))
    assert read(classes, "log_loss", at_least=1.0).value == pytest.approx(expected)


def test_a_class_that_the_version_never_saw_was_answered_wrongly(classes):
    truth, answers = matured(replace(classes, labels=labels(np.full(600, "stolen"))), NOW)
    assert set(truth) == {3}
    assert answers.shape == (600, 3)
    strange = replace(classes, labels=labels(np.full(600, "stolen")))
    assert read(strange, "accuracy", at_least=0.5).value == 0.0


def test_classes_without_labels_tell_nothing(classes):
    few = replace(classes, labels=classes.labels.slice(0, 0))
    assert read(few, "accuracy", at_least=0.5).detail == "0 labels known: 200 are needed"


def test_what_cannot_be_judged_is_refused(seen):
    with pytest.raises(DeclarationError, match="no metric 'roc_acu'") as told:
        read(seen(1.0), "roc_acu")
    assert "did you mean 'roc_auc'?" in str(told.value)
    with pytest.raises(DeclarationError, match="evaluation did not measure 'accuracy'") as told:
        read(seen(1.0), "accuracy", max_drop=0.1)
    assert "ow.performance('accuracy', at_least=…)" in str(told.value)
    assert read(seen(1.0), "accuracy", at_least=0.1).value > 0.1
