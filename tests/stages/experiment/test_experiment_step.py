from __future__ import annotations

import sys

import cloudpickle
import pyarrow.parquet as pq
import pytest

import onward as ow
from onward.core.errors import DataError, DeclarationError, OnwardError
from onward.infra.compute.local import LocalCompute
from onward.stages.evaluate.metrics import standard
from onward.stages.experiment.progress import Progress, look
from onward.stages.experiment.step import search
from onward.stages.train.returned import estimator_of

cloudpickle.register_pickle_by_value(sys.modules[__name__])

SPACE = {
    "depth": ow.integer(1, 8),
    "leaf": ow.real(0.001, 0.4, log=True),
    "criterion": ow.categorical("gini", "entropy", ("not", "a", "criterion")),
}


def tree(X, y, depth=2, leaf=0.3, criterion="gini", splitter="best"):
    from sklearn.tree import DecisionTreeClassifier

    return DecisionTreeClassifier(
        max_depth=depth, min_samples_leaf=leaf, criterion=criterion, splitter=splitter,
        random_state=0,
    ).fit(X, y)  # fmt: skip


def failing(X, y, depth=2):
    raise MemoryError(f"depth {depth}")


def watching(X, y, depth=2):
    assert X.shape[0] == len(y)
    raise ValueError(f"fitted on {len(y)} rows")


def line(X, y, depth=2):
    from sklearn.tree import DecisionTreeRegressor

    return DecisionTreeRegressor(max_depth=depth, random_state=0).fit(X, y)


@pytest.fixture
def told(tmp_path):
    return tmp_path / "searches" / "r1.json"


@pytest.fixture
def searched(training, inline, tracker, told):
    def run(function=tree, space=SPACE, on=training, task="binary", trials=6, **given):
        model = ow.model(features=[], label=None, task=task, search=space)(function)
        ports = {
            "score": standard(task), "estimator_of": estimator_of, "compute": inline,
            "tracker": tracker, "told": told,
        }  # fmt: skip
        return search(model, on, trials=trials, run="r1", commit="abc", **{**ports, **given})

    return run


def test_the_best_trial_is_chosen_and_every_trial_logged(searched, tracker, training):
    found = searched()
    scores = [r["metrics"].get("roc_auc") for r in tracker.runs.values()]
    assert found.score == max(score for score in scores if score is not None)
    assert found.trials == 6
    assert found.origin.startswith("search-")
    assert found.parameters["splitter"] == "best"
    logged = [*tracker.runs.values()]
    assert len(logged) == 6
    assert logged[0]["parameters"] == {
        "depth": 2, "leaf": 0.3, "criterion": "gini", "splitter": "best",
    }  # fmt: skip
    assert logged[0]["tags"]["onward.commit"] == "abc"
    assert logged[0]["tags"]["onward.snapshots"] == " ".join(training.inputs)
    assert found.parameters in [r["parameters"] for r in logged]


def test_every_trial_is_told_as_it_ends_with_the_best_score_yet(searched, tracker, told):
    before = []

    def looking(X, y, depth=2, leaf=0.3, criterion="gini"):
        before.append(look(told))
        return tree(X, y, depth, leaf, criterion)

    assert look(told) == Progress()
    found = searched(looking)
    after = [*before[1:], look(told)]
    scores = [r["metrics"].get("roc_auc") for r in tracker.runs.values()]
    best = None
    for number, (progress, score) in enumerate(zip(after, scores, strict=True), start=1):
        best = max((s for s in (best, score) if s is not None), default=None)
        assert progress == Progress(done=number, best=best)
    assert before[0] == Progress()
    assert after[-1].best == found.score


def test_an_error_that_gets_smaller_is_the_best_yet(searched, told, make_training):
    space = {"depth": ow.integer(1, 8)}
    found = searched(line, space, make_training("regression"), "regression", trials=3)
    assert look(told) == Progress(done=3, best=found.score)


def test_a_search_again_chooses_the_same_and_logs_nothing_new(searched, tracker):
    first = searched()
    assert searched(compute=LocalCompute()) == first
    assert len(tracker.runs) == 6


def test_a_parameter_that_cannot_be_fitted_is_a_failed_trial(searched, tracker):
    only_last = {"criterion": ow.categorical(("not", "a", "criterion"), "gini")}
    found = searched(space=only_last, trials=8)
    failed = [r for r in tracker.runs.values() if "roc_auc" not in r["metrics"]]
    assert found.parameters["criterion"] == "gini"
    assert failed
    assert all("InvalidParameterError" in r["tags"]["onward.failure"] for r in failed)


def test_when_nothing_can_be_fitted_the_reason_is_told(searched):
    with pytest.raises(OnwardError, match=r"all 2 trials .* MemoryError: depth") as caught:
        searched(failing, {"depth": ow.integer(1, 8)}, trials=2)
    assert caught.value.location.line == failing.__code__.co_firstlineno + 1


def test_no_trial_sees_the_held_out_rows(searched, training, make_training):
    with pytest.raises(OnwardError, match="fitted on 960 rows"):  # 0.8 of 0.8 of 1500
        searched(watching, {"depth": ow.integer(1, 8)}, trials=1)
    labels = pq.read_table(training.path)["label"].to_pylist()
    other = make_training(label=[*labels[:1200], *(1 - y for y in labels[1200:])])
    assert searched(on=other).score == searched().score


def test_an_error_is_made_small(searched, make_training):
    space = {"depth": ow.integer(1, 8)}
    found = searched(line, space, make_training("regression"), "regression")
    assert found.parameters["depth"] > 2
    far = searched(line, {"depth": ow.integer(5, 8)}, make_training("regression"), "regression")
    assert far.parameters["depth"] >= 5  # the default, 2, is no part of the space


def test_a_score_that_is_not_defined_fails_the_trial(searched, make_training):
    labels = [0, 1] * 480 + [1] * 540  # 240 validation rows of one class
    with pytest.raises(OnwardError, match="roc_auc is not defined on the 240 validation rows"):
        searched(on=make_training(label=labels), trials=1)


def test_a_model_without_ranges_is_told_what_to_add(searched):
    with pytest.raises(DeclarationError, match=r"search=\{'depth': ow.integer") as caught:
        searched(space=None)
    assert caught.value.location.file == __file__
    with pytest.raises(DeclarationError, match="0 trials"):
        searched(trials=0)


def test_rows_of_one_moment_are_no_data_to_search_on(searched, make_training, training):
    with pytest.raises(DataError, match="cannot be split"):
        searched(on=make_training(event_time=[training.first] * 1500))
