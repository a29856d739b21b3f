"""What every Tracker adapter must do."""

from __future__ import annotations

import pytest

from onward.infra.tracking.mlflow import MlflowTracker


@pytest.fixture(scope="module")
def tracker(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tracker")
    return MlflowTracker(folder / "state" / "mlflow.db", folder / "state" / "artifacts")


def logged(tracker, run):
    with tracker.store.reading() as client:
        found = client.get_run(run).data
    return found.params, found.metrics, found.tags


def log(tracker, key, **changed):
    given = {
        "experiment": "flight_delay",
        "name": "train",
        "key": key,
        "parameters": {"depth": 3, "loss": None},
        "metrics": {"fit_seconds": 1.5},
        "tags": {"onward.commit": "abc"},
    }
    return tracker.log_run(**{**given, **changed})


def test_a_run_holds_what_was_logged(tracker, tmp_path):
    run = log(tracker, "one", artifacts=tmp_path)
    params, metrics, tags = logged(tracker, run)
    assert params == {"depth": "3", "loss": "None"}
    assert metrics == {"fit_seconds": 1.5}
    assert tags["onward.commit"] == "abc"
    assert tags["onward.artifacts"] == str(tmp_path)


def test_a_key_is_logged_once(tracker):
    first = log(tracker, "twice")
    assert log(tracker, "twice", parameters={"depth": 9}) == first
    assert logged(tracker, first)[0]["depth"] == "3"
    assert log(tracker, "thrice") != first


def test_metrics_can_be_added_and_added_again(tracker):
    run = log(tracker, "measured")
    for _ in range(2):
        tracker.log_metrics(run, {"roc_auc": 0.7, "undefined": float("nan")})
    _, metrics, _ = logged(tracker, run)
    assert metrics["roc_auc"] == 0.7
    assert metrics["fit_seconds"] == 1.5
    with tracker.store.reading() as client:
        assert len(client.get_metric_history(run, "roc_auc")) == 1


def test_more_parameters_than_one_request_takes(tracker):
    many = {f"parameter_{i}": i for i in range(250)}
    assert len(logged(tracker, log(tracker, "wide", parameters=many))[0]) == 250


def test_an_experiment_is_found_by_its_name(tracker):
    log(tracker, "a")
    log(tracker, "b", experiment="other")
    with tracker.store.reading() as client:
        names = {e.name for e in client.search_experiments()}
    assert {"flight_delay", "other"} <= names
