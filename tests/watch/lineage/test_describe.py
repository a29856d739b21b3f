from __future__ import annotations

from datetime import timedelta

import pytest

from onward.core.errors import NotFoundError
from onward.core.records import GateResult, Metric
from onward.watch.lineage.prediction import describe


def test_one_call_answers_what_stands_behind_a_prediction(ledger, delivered, answered):
    found = describe(answered(2, 2), ledger=ledger)
    assert found.prediction == "prediction:p2"
    assert (found.model, found.arm, found.run) == ("model:flight_delay@2", "candidate", "r2")
    assert found.metrics == (Metric(name="roc_auc", value=0.2, low=0.68, high=0.72, rows=5_000),)
    assert found.gates == (
        GateResult(gate="at_least", passed=True, reason="0.70 is at least 0.62", facts={}),
    )
    assert (found.trained, found.parameters, found.commit) == ("trained:f2", {"l2": 2}, "c2")
    assert (found.training, found.features) == ("training:t2", ("features:delays@1",))
    assert set(found.snapshots) == {
        "snapshot:derived.departures@2", "snapshot:raw.flights@2", "snapshot:raw.weather@2",
    }  # fmt: skip
    assert found.sources == ("snapshot:raw.flights@2", "snapshot:raw.weather@2")
    assert found.image == "image:flight_delay@sha256:2"
    assert (found.release, found.step) == ("release:flight_delay@2.2", "release.stepped")
    assert found.percent == 25.0
    assert found.released_at - found.registered_at == timedelta(hours=3)
    assert found.approver is None


@pytest.mark.parametrize(
    ("version", "step", "kind", "percent", "approver"),
    [
        (1, 1, "release.started", 100.0, None),
        (2, 1, "release.started", 5.0, None),
        (2, 3, "release.ended", 100.0, "ada"),
        (2, 9, None, None, None),
    ],
)
def test_the_step_that_served_it(
    ledger, delivered, answered, version, step, kind, percent, approver
):
    found = describe(answered(version, step), ledger=ledger)
    assert (found.step, found.percent, found.approver) == (kind, percent, approver)


def test_a_version_that_nobody_registered_is_refused(ledger, delivered, answered):
    with pytest.raises(NotFoundError, match="the ledger knows no model:flight_delay@7"):
        describe(answered(7, 1), ledger=ledger)


def test_a_ledger_that_begins_too_late_is_told(ledger, tell, answered):
    tell("image.packaged", ["model:flight_delay@2"], [])
    with pytest.raises(NotFoundError, match="does not know how model:flight_delay@2 was made"):
        describe(answered(2, 1), ledger=ledger)


def test_a_model_without_code_or_verdict_has_none(ledger, tell, answered):
    tell("training.built", [], ["training:t1"])
    tell("model.trained", ["training:t1"], ["trained:f1"])
    tell("model.registered", ["trained:f1"], ["model:flight_delay@1"])
    found = describe(answered(1, 1), ledger=ledger)
    assert (found.commit, found.metrics, found.gates, found.snapshots) == (None, (), (), ())
