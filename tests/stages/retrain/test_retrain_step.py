from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

import onward as ow
from onward.core.errors import DeclarationError
from onward.core.records import MonitorReport, MonitorResult, RunRequest, Suppressed
from onward.stages.retrain.step import consider

START = datetime(2013, 6, 1, tzinfo=UTC)
POLICY = ow.retrain(cooldown="7d", persist=2)
LOSS, DATA, PREDICTION = ("performance", "roc_auc"), ("drift", "data"), ("drift", "prediction")
ERRORS, STALE = ("operational", "error rate"), ("freshness", "flights")


def report(day: int, *breaches: tuple[str, str], model: str = "flight_delay") -> MonitorReport:
    return MonitorReport(
        id=f"w{day}",
        model=model,
        at=START + timedelta(days=day),
        window_start=START + timedelta(days=day - 1),
        window_end=START + timedelta(days=day),
        predictions=1_000,
        labelled=900,
        results=tuple(
            MonitorResult(monitor=m, subject=s, value=0.5, limit=0.4, breached=(m, s) in breaches,
                          detail=f"{s} is off")
            for m, s in (LOSS, DATA, PREDICTION, ERRORS, STALE)
        ),
    )  # fmt: skip


def judge(*reports: MonitorReport, policy=POLICY, last_request=None, busy=None):
    *earlier, latest = reports
    return consider(
        latest, earlier, policy=policy, last_request=last_request, busy=busy, now=latest.at
    )


def test_all_is_well_asks_for_nothing():
    assert judge(report(1, LOSS), report(2)) is None


def test_loss_that_lasts_asks_for_a_run_and_says_why():
    found = judge(report(1, LOSS), report(2, LOSS))
    assert found == RunRequest(
        id="breach-w2",
        reason="performance, roc_auc: roc_auc is off",
        trigger="breach",
        requested_at=START + timedelta(days=2),
        cause="report:w2.monitor.flight_delay",
    )
    assert judge(report(1, LOSS), report(2, LOSS)) == found


@pytest.mark.parametrize(
    ("earlier", "latest", "asks"),
    [
        ([], [LOSS], False),
        ([[LOSS]], [LOSS], True),
        ([[LOSS], []], [LOSS], False),
        ([[DATA]], [DATA], False),
        ([[PREDICTION]], [PREDICTION], False),
        ([[DATA]], [DATA, PREDICTION], True),
        ([[PREDICTION]], [DATA, PREDICTION], True),
        ([[DATA]], [DATA, LOSS], True),
        ([[DATA, PREDICTION]], [DATA], False),
        ([[DATA]], [PREDICTION, LOSS], False),
        ([[DATA]], [DATA, ERRORS], False),
        ([[ERRORS]], [ERRORS, STALE], False),
    ],
)
def test_what_counts_as_evidence(earlier, latest, asks):
    found = judge(*(report(n, *b) for n, b in enumerate(earlier)), report(9, *latest))
    assert isinstance(found, RunRequest if asks else Suppressed)


def test_a_request_names_what_corroborates_it():
    found = judge(report(1, DATA), report(2, DATA, PREDICTION))
    assert found.reason == "drift, data: data is off; drift, prediction: prediction is off"


@pytest.mark.parametrize(
    ("reports", "reason"),
    [
        ([report(1, LOSS)], "performance (roc_auc): 1 of 2 reports in a row"),
        ([report(1, DATA), report(2, DATA)],
         "drift (data) alone: neither answers nor outcomes have moved with it"),
        ([report(1, ERRORS, STALE)],
         "operational (error rate), freshness (flights): a new model would not cure it"),
    ],
)  # fmt: skip
def test_why_not(reports, reason):
    found = judge(*reports)
    assert found == Suppressed(reason=reason, cause=reports[-1].ref)


def test_one_at_a_time():
    found = judge(report(1, LOSS), report(2, LOSS), busy="the release of version 3 is at 25 %")
    assert found.reason == "the release of version 3 is at 25 %"


@pytest.mark.parametrize(
    ("days", "hours", "reason"),
    [
        (0, 5, "not before 2013-06-09 19:00 UTC: the last request was 5 hours ago"),
        (6, 23, "not before 2013-06-03 01:00 UTC: the last request was 7 days ago"),
        (7, 0, None),
    ],
)
def test_the_cooldown_ends_when_it_says(days, hours, reason):
    latest = report(2, LOSS)
    asked = latest.at - timedelta(days=days, hours=hours)
    found = judge(report(1, LOSS), latest, last_request=asked)
    assert (found.reason if isinstance(found, Suppressed) else None) == reason


def test_other_models_and_the_future_do_not_count():
    other = report(1, LOSS, model="other")
    later = report(3, LOSS)
    assert isinstance(judge(other, later, report(2, LOSS)), Suppressed)


def test_one_report_is_enough_where_the_user_says_so():
    policy = ow.retrain(persist=1)
    assert isinstance(judge(report(1, LOSS), policy=policy), RunRequest)
    with pytest.raises(DeclarationError, match="persist is 0"):
        ow.retrain(persist=0)


FINDINGS = st.sets(st.sampled_from([LOSS, DATA, PREDICTION, ERRORS, STALE]))


@given(
    history=st.lists(FINDINGS, min_size=1, max_size=6),
    persist=st.integers(1, 4),
    order=st.randoms(use_true_random=False),
)
def test_a_run_is_asked_for_exactly_where_the_evidence_is(history, persist, order):
    reports = [report(n, *found) for n, found in enumerate(history)]
    *earlier, latest = reports
    order.shuffle(earlier)
    policy = ow.retrain(cooldown="1s", persist=persist)
    found = judge(*earlier, latest, policy=policy)
    recent = history[-persist:]
    lasting = set.intersection(*recent) if len(recent) == persist else set()
    curable = history[-1] & {LOSS, DATA, PREDICTION}
    evidence = LOSS in lasting or (lasting & {DATA, PREDICTION} and len(curable) > 1)
    assert isinstance(found, RunRequest) == bool(evidence)
    assert (found is None) == (not history[-1])
    for held_back in (
        judge(*earlier, latest, policy=policy, busy="a run is under way"),
        judge(*earlier, latest, policy=policy, last_request=latest.at),
    ):
        assert not isinstance(held_back, RunRequest)
        assert (held_back is None) == (not history[-1])
