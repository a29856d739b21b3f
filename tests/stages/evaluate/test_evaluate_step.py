from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

import cloudpickle
import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import roc_auc_score

import onward as ow
from onward.core.errors import CorruptError, DataError, DeclarationError
from onward.core.records import Candidate, Column, ModelRef
from onward.infra.compute.local import LocalCompute
from onward.stages.evaluate.step import evaluate
from onward.stages.train.step import train

cloudpickle.register_pickle_by_value(sys.modules[__name__])


def good(X, y):
    from sklearn.tree import DecisionTreeClassifier

    return DecisionTreeClassifier(max_depth=4, min_samples_leaf=30, random_state=0).fit(X, y)


def blind(X, y):
    return good(X[["hour"]].assign(wind=0.0)[["wind", "hour"]], y)


def line(X, y):
    from sklearn.tree import DecisionTreeRegressor

    return DecisionTreeRegressor(max_depth=4, random_state=0).fit(X, y)


@pytest.fixture
def fitted(training, inline, tracker, request_features, folder):
    def fit(function=good, on=training, task="binary"):
        model = ow.model(features=[], label=None, task=task)(function)
        candidate = Candidate(model=model.name, parameters={}, origin="defaults")
        where = {"folder": folder, "commit": None, "run": "r"}
        return train(
            model, on, candidate, request_features, compute=inline, tracker=tracker, **where
        )

    return fit


@pytest.fixture
def judged(inline, tracker):
    def run(trained, *gates, champion=None, champion_rows=None, slices=(), compute=inline):
        return evaluate(
            trained,
            gates=gates,
            slices=slices,
            champion=champion,
            champion_rows=champion_rows,
            compute=compute,
            tracker=tracker,
            run="r",
        )

    return run


def registered(trained, version=1):
    return ModelRef(
        name=trained.model, version=version, path=trained.path, digest=trained.digest,
        trained=trained.ref, card="",
    )  # fmt: skip


def held_out(trained):
    rows = pq.read_table(trained.training.path)
    return rows.filter(
        np.array([t >= trained.holdout_from for t in rows["event_time"].to_pylist()])
    )


def test_metrics_are_of_the_held_out_rows_with_intervals(fitted, judged, tracker):
    trained = fitted()
    report = judged(trained, slices=("origin",))
    rows = held_out(trained)
    model = cloudpickle.loads((Path(trained.path) / "model.pkl").read_bytes())
    scores = model.predict_proba(rows.select(["wind", "hour"]).to_pandas())[:, 1]
    names = [m.name for m in report.metrics]
    assert names == ["roc_auc", "average_precision", "log_loss", "brier", "accuracy"]
    auc = report.metrics[0]
    assert auc.value == pytest.approx(roc_auc_score(rows["label"].to_numpy(), scores))
    assert auc.low < auc.value < auc.high
    assert auc.rows == report.rows == rows.num_rows
    assert report.passed
    assert report.champion is None
    assert report.champion_metrics == ()
    assert report.slices["origin"].keys() == {"EWR", "JFK", "LGA"}
    assert sum(m.rows for m in report.slices["origin"].values()) == report.rows
    assert tracker.runs[trained.tracker_run]["metrics"]["roc_auc.low"] == auc.low
    assert tracker.runs[trained.tracker_run]["metrics"]["evaluation_passed"] == 1.0


def test_evaluation_runs_in_another_process_and_says_the_same(fitted, judged):
    trained = fitted()
    gates = (ow.at_least("roc_auc", 0.7), ow.fair("origin", at_least=0.1), ow.robust())
    champion = registered(fitted(blind))
    elsewhere = judged(
        trained, *gates, champion=champion, slices=("origin",), compute=LocalCompute()
    )
    assert elsewhere == judged(trained, *gates, champion=champion, slices=("origin",))
    json.dumps(dataclasses.asdict(elsewhere), allow_nan=False)  # plain values, as records hold


def test_at_least_says_its_figures(fitted, judged):
    [passed, failed, error] = judged(
        fitted(), ow.at_least("roc_auc", 0.7), ow.at_least("roc_auc", 0.99),
        ow.at_least("log_loss", 0.1),
    ).gates  # fmt: skip
    assert passed.passed
    assert not failed.passed
    assert not error.passed
    assert failed.reason.startswith("roc_auc 0.8")
    assert failed.reason.endswith("on 300 rows; needs >= 0.99")
    assert error.reason.endswith("needs <= 0.1")


def test_without_a_champion_there_is_none_to_beat(fitted, judged):
    report = judged(fitted(), ow.beats_champion("roc_auc"))
    assert report.gates[0].reason == "there is no champion yet"
    assert report.passed


@pytest.mark.parametrize("metric", ["roc_auc", "brier"])
def test_a_better_model_beats_the_champion_and_a_worse_one_does_not(fitted, judged, metric):
    strong, weak = fitted(), fitted(blind)
    won = judged(strong, ow.beats_champion(metric), champion=registered(weak))
    lost = judged(weak, ow.beats_champion(metric), champion=registered(strong, 7))
    assert won.passed
    assert won.gates[0].facts["low"] > 0
    assert not lost.passed
    assert "of model:good@7 on the same 300 rows: better by -" in lost.gates[0].reason
    assert lost.champion_metrics == won.metrics


def test_a_model_does_not_beat_itself_but_is_no_worse(fitted, judged):
    same = fitted()
    champion = registered(same)
    assert not judged(same, ow.beats_champion("roc_auc"), champion=champion).passed
    assert judged(same, ow.beats_champion("roc_auc", margin=-0.01), champion=champion).passed


def test_a_challenger_trained_on_shuffled_labels_does_not_beat_the_champion(
    fitted, judged, training, make_training
):
    shuffled = pq.read_table(training.path)["label"].to_numpy().copy()
    np.random.default_rng(0).shuffle(shuffled[:1200])
    challenger = fitted(on=make_training(label=shuffled))
    report = judged(challenger, ow.beats_champion("roc_auc"), champion=registered(fitted()))
    assert not report.passed


def test_fairness_compares_groups_by_who_is_selected(fitted, judged, make_training, training):
    wind = pq.read_table(training.path)["wind"].to_numpy()
    origin = np.where(np.nan_to_num(wind) > 0, "windy", "calm").astype(object)
    origin[-10:], origin[5] = "rare", None
    trained = fitted(on=make_training(origin=origin))
    ratio, difference, odds, given = judged(
        trained,
        ow.fair("origin", at_least=0.8),
        ow.fair("origin", "selection_rate_difference", at_most=0.9),
        ow.fair("origin", "equalized_odds_difference", at_most=0.01),
        ow.fair("origin", "selection_rate_ratio", at_least=1.0, threshold=0.0),
    ).gates
    assert not ratio.passed
    assert "over 2 groups of origin: calm has" in ratio.reason
    assert ratio.reason.endswith("needs >= 0.8")
    assert difference.passed
    assert not odds.passed
    assert given.passed
    assert "(probability >= 0.000)" in given.reason


def test_the_threshold_selects_as_many_as_are_positive_in_training(fitted, judged, training):
    trained = fitted()
    labels = pq.read_table(training.path)["label"].to_numpy()[:1200]
    [gate] = judged(trained, ow.fair("origin", at_least=0.1)).gates
    shares = [gate.facts[o] for o in ("EWR", "JFK", "LGA")]
    assert np.mean(shares) == pytest.approx(labels.mean(), abs=0.1)


def test_groups_that_say_nothing(fitted, judged, make_training):
    few = fitted(on=make_training(origin=np.array(["JFK"] * 1500)))
    [gate] = judged(few, ow.fair("origin", at_least=0.8)).gates
    assert gate.passed
    assert "nothing to compare" in gate.reason
    none_selected = fitted()
    [undefined] = judged(none_selected, ow.fair("origin", at_least=0.8, threshold=1.1)).gates
    assert not undefined.passed
    assert undefined.facts["value"] is None


def test_noise_on_what_a_model_relies_on_shows(fitted, judged):
    calm, harsh = judged(
        fitted(), ow.robust(noise=0.01), ow.robust(noise=5.0, metric="log_loss")
    ).gates
    assert calm.passed
    assert calm.gate == "robust(roc_auc)"
    assert not harsh.passed
    assert "with noise of 5 standard deviations on 2 features: worse by" in harsh.reason


def test_a_gate_on_a_column_that_no_request_has_is_refused(fitted, judged):
    with pytest.raises(DeclarationError, match="did you mean 'origin'"):
        judged(fitted(), ow.fair("orgin", at_least=0.8))


def test_an_altered_model_is_not_asked(fitted, judged):
    trained = fitted()
    (Path(trained.path) / "model.pkl").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(CorruptError, match="not those that were recorded"):
        judged(trained)


def test_a_champion_with_another_plan_sees_its_own_features(fitted, judged, make_training):
    trained = fitted()
    other = dataclasses.replace(
        trained.training.plan,
        columns=(Column(name="gust", dtype="double"), Column(name="hour", dtype="double")),
    )
    rows = pq.read_table(trained.training.path)
    theirs = make_training(plan=other, gust=rows["wind"].to_numpy())
    champion = registered(fitted(on=theirs))
    report = judged(trained, champion=champion, champion_rows=theirs)
    assert report.champion_metrics == report.metrics  # the same numbers under another name


def test_a_champion_is_compared_on_the_same_rows_and_task_only(fitted, judged, make_training):
    trained = fitted()
    with pytest.raises(DataError, match="judged on other rows"):
        judged(trained, champion=registered(trained), champion_rows=make_training(seed=1))
    regression = fitted(line, make_training("regression"), "regression")
    with pytest.raises(DataError, match="of a regression task"):
        judged(trained, champion=registered(regression))


@pytest.mark.parametrize(
    ("task", "function", "names"),
    [
        ("multiclass", good, ["accuracy", "log_loss", "macro_f1"]),
        ("regression", line, ["rmse", "mae", "r2"]),
    ],
)
def test_other_tasks(fitted, judged, make_training, task, function, names):
    trained = fitted(function, make_training(task), task)
    report = judged(trained, ow.robust(noise=0.01), slices=("origin",))
    assert [m.name for m in report.metrics] == names
    assert all(m.low <= m.value <= m.high for m in report.metrics)
    assert report.slices["origin"]["JFK"].name == names[0]


def test_rows_that_tell_nothing_apart_are_refused(fitted, judged, make_training):
    labels = [0, 1] * 600 + [1] * 300
    with pytest.raises(DataError, match="300 held-out rows all have label 1"):
        judged(fitted(on=make_training(label=labels)))


def test_a_training_set_that_is_gone_is_said_to_be(fitted, judged, make_training):
    training = make_training()
    trained = fitted(on=training)
    Path(training.path).unlink()
    with pytest.raises(CorruptError, match="any more"):
        judged(trained)
