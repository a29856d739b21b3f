from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from production_window import features, labels, predictions
from sklearn.metrics import roc_auc_score

import onward as ow
from onward.core.errors import DeclarationError
from onward.stages.evaluate.metrics import metrics_of
from onward.stages.monitor.performance import matured, performance

ROWS = 2_000


def knowing(window, truth, told=False):
    """A window's answers, of the first of which something else is known."""
    rows = window.predictions.num_rows
    kept = window.predictions.drop_columns(["label", "told"])
    known = {"label": labels(truth, rows), "told": pa.array(np.broadcast_to(told, rows))}
    for name, column in known.items():
        kept = kept.append_column(name, column)
    return replace(window, predictions=kept)


@pytest.fixture
def seen(observed):
    """A window in which a score separates the classes by `skill`."""

    def made(skill: float, rows: int = ROWS):
        draw = np.random.default_rng(4)
        truth = (draw.random(rows) < 0.25).astype(np.int8)
        score = 1 / (1 + np.exp(-(draw.normal(size=rows) + skill * truth)))
        return observed(predictions=predictions(features(rows, 2), output=score, truth=truth))

    return made


def read(observed, metric="roc_auc", **declared):
    monitor = ow.performance(metric, **declared)
    return performance(monitor, observed, *matured(observed))


def test_a_model_that_holds_up_is_no_breach(seen):
    found = read(seen(1.0), max_drop=0.03)
    window = seen(1.0)
    truth = window.predictions.column("label").to_numpy()
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
    bare = read(knowing(seen(0.0), ()), at_least=0.9)
    assert bare.detail == "0 labels known: 200 are needed"


def test_one_class_tells_nothing(seen):
    found = read(knowing(seen(1.0), np.zeros(ROWS)), at_least=0.9)
    assert (found.value, found.breached) == (None, False)
    assert found.detail == "2,000 labels, all of one class: not defined"


def test_only_labels_that_are_known_count(seen):
    truth, answers = matured(knowing(seen(1.0), np.ones(300)))
    assert len(truth) == len(answers) == 300


def asked_again(*answers, **known):
    """Answers of a unit, each some time after the one before; `known` as `predictions` has it."""
    rows = len(answers)
    window = predictions(features(rows, seed=1), output=np.array(answers), **known)
    return window.set_column(window.column_names.index("unit"), "unit", pa.array(["f0"] * rows))


def test_the_last_answer_counts_and_only_this_versions(observed):
    known = {"truth": [1, 1, 1]}
    table = pa.concat_tables([
        asked_again(0.1, 0.2, 0.7, **known).take([2, 0, 1]),
        asked_again(0.9, 0.9, 0.9, 0.9, version=4, **known),
        asked_again(0.8, 0.8, 0.8, 0.8, status=500, **known),
    ])  # fmt: skip
    assert [side.tolist() for side in matured(observed(predictions=table))] == [[1.0], [0.7]]


def test_every_answer_counts_of_which_a_label_was_told(observed):
    table = asked_again(0.1, 0.2, 0.3, 0.4, truth=[0, 1, 1, 1], told=[True, False, True, False])
    assert [side.tolist() for side in matured(observed(predictions=table))] == [
        [0.0, 1.0], [0.1, 0.3],
    ]  # fmt: skip


@pytest.fixture
def classes(observed):
    """A window of 600 answers about three classes, one in ten of them wrong."""
    rows, names = 600, np.array(["late", "lost", "punctual"])
    truth = np.arange(rows) % 3
    answers = np.where(np.arange(rows) % 10 == 0, (truth + 1) % 3, truth)
    outputs = pa.array(list(np.eye(3)[answers] * 0.7 + 0.1))
    window = predictions(features(rows, 1), output=answers.astype(float), truth=names[truth])
    return observed(
        predictions=window.append_column("outputs", outputs),
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
    strange = knowing(classes, np.full(600, "stolen"))
    truth, answers = matured(strange)
    assert set(truth) == {3}
    assert answers.shape == (600, 3)
    assert read(strange, "accuracy", at_least=0.5).value == 0.0


def test_classes_without_labels_tell_nothing(classes):
    assert (
        read(knowing(classes, ()), "accuracy", at_least=0.5).detail
        == "0 labels known: 200 are needed"
    )


def test_what_cannot_be_judged_is_refused(seen):
    with pytest.raises(DeclarationError, match="no metric 'roc_acu'") as told:
        read(seen(1.0), "roc_acu")
    assert "did you mean 'roc_auc'?" in str(told.value)
    with pytest.raises(DeclarationError, match="evaluation did not measure 'accuracy'") as told:
        read(seen(1.0), "accuracy", max_drop=0.1)
    assert "ow.performance('accuracy', at_least=…)" in str(told.value)
    assert read(seen(1.0), "accuracy", at_least=0.1).value > 0.1
