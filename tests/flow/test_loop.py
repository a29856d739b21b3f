"""The loop on a small shop: runs, releases, breaches and retraining, in event time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from onward.app.gateway.serving import Gateway, serving
from onward.app.project import Project, open_project
from onward.core.clock import ReplayClock
from onward.core.errors import BusyError, DataError, DeclarationError, NotFoundError
from onward.core.records import RunRequest, Suppressed
from onward.flow.release.loop import rollback
from onward.flow.release.releases import champion, current
from onward.flow.run.loop import turn
from onward.flow.run.runs import request

START = datetime(2026, 1, 1, tzinfo=UTC)
FIRST = START + timedelta(days=45)


def opened(shop: Path, at: datetime = FIRST) -> tuple[Project, ReplayClock]:
    clock = ReplayClock(at)
    return open_project(shop, clock=clock), clock


@contextmanager
def live(project: Project) -> Iterator[Gateway]:
    with serving(project.settings, clock="request", port=0) as gateway:
        yield gateway


def ask(gateway: Gateway, file: Path, at: datetime, *, limit: int = 10**9) -> list[httpx.Response]:
    """Ask for every order of a file, ten at a time, as if at `at`."""
    lines = file.read_text().splitlines()
    names = lines[0].split(",")
    rows = [dict(zip(names, line.split(","), strict=True)) for line in lines[1:]][:limit]
    asked = [
        {
            "order_id": row["order_id"],
            "customer": row["customer"],
            "amount": float(row["amount"]),
            "items": int(row["items"]),
        }
        for row in rows
    ]
    path = f"{gateway.url}/v2/models/order_return/predict"
    with httpx.Client(headers={"onward-event-time": at.isoformat()}) as client:
        return [
            client.post(path, json={"rows": asked[i : i + 10]}) for i in range(0, len(asked), 10)
        ]


def change(shop: Path, old: str, new: str) -> None:
    text = (shop / "pipeline.py").read_text()
    assert old in text
    (shop / "pipeline.py").write_text(text.replace(old, new))


def test_once_round_and_then_nothing_is_new(shop: Path, orders: Callable[..., Path]) -> None:
    project, clock = opened(shop)
    with project:
        outcome = project.run()
        assert outcome is not None
        assert outcome.state == "promoted"
        assert outcome.model is not None
        assert outcome.evaluation is not None
        assert {a.dataset: a.rows_quarantined for a in outcome.audits}["orders"] == 10
        assert project.run() is None
        assert project.run(force=True).state == "unchanged"  # type: ignore[union-attr]

        orders(shop, "second", start=START + timedelta(days=40), days=10, seed=2)
        clock.advance(FIRST + timedelta(days=10))
        again = project.run()
        assert again is not None
        assert again.state in ("released", "rejected")
        assert again.request.reason == "new data in orders"


def test_a_mistyped_check_is_found_out_before_the_next_rows_come(shop: Path) -> None:
    project, _ = opened(shop)
    with project:
        project.run()
    change(shop, "_.amount > 0", "_.amuont > 0")
    project, _ = opened(shop)
    with project:
        with pytest.raises(DeclarationError, match="no column 'amuont'") as refused:
            project.run()
        assert refused.value.location is not None
        assert "did you mean 'amount'" in str(refused.value)
        assert [run.state for run in project.runs(limit=1)] == ["failed"]


def test_another_check_of_the_same_data_gives_the_champion_again(shop: Path) -> None:
    project, _ = opened(shop)
    with project:
        project.run()
    change(shop, "_.amount > 0", "_.amount > 0.01")
    change(shop, '"""Will an order come back?', '"""Will it?\n\nMore lines.\n')
    project, _ = opened(shop)
    with project:
        again = project.run()
        assert again is not None
        assert (again.request.reason, again.state) == ("the pipeline changed", "unchanged")
        assert again.evaluation is None
        assert project.run() is None


def test_the_model_never_sees_a_quarantined_row(shop: Path) -> None:
    import pyarrow.parquet as pq

    project, _ = opened(shop)
    with project:
        outcome = project.run()
        assert outcome is not None
        assert outcome.training is not None
        bad = set(project.site.lake.read("quarantine.raw_orders")["order_id"].to_pylist())
        seen = set(pq.read_table(outcome.training.path)["order_id"].to_pylist())
        assert len(bad) == 10
        assert not bad & seen
        [entry] = project.quarantine("orders")
        assert entry.rules == {"amount is positive": 10}


def test_a_held_batch_changes_nothing_that_a_reader_sees(
    shop: Path, orders: Callable[..., Path]
) -> None:
    project, clock = opened(shop)
    with project:
        project.run()
        before = project.site.lake.dataset("raw.orders")
        champion_before = champion(project.ledger, "order_return")
        orders(shop, "few", rows=5, start=START + timedelta(days=41), days=1)
        clock.advance(FIRST + timedelta(days=3))
        outcome = project.run()
        assert outcome is not None
        assert outcome.state == "held"
        assert "enough rows" in outcome.reason
        assert project.site.lake.dataset("raw.orders") == before
        assert champion(project.ledger, "order_return") == champion_before


def test_what_was_held_is_judged_again_when_the_pipeline_changed(
    shop: Path, orders: Callable[..., Path]
) -> None:
    project, clock = opened(shop)
    with project:
        project.run()
        orders(shop, "few", rows=5, start=START + timedelta(days=41), days=1)
        clock.advance(FIRST + timedelta(days=3))
        held = turn(project.site, project.definition, project.deliver)
        assert held.refreshed is not None
        assert held.refreshed.state == "held"
        again = turn(project.site, project.definition, project.deliver)
        assert again.refreshed is None, "the same batch, by the same rules, is held again"
        change(shop, "_.count() > 20", "_.count() > 2")
        project.reload()
        after = turn(project.site, project.definition, project.deliver)
        assert after.refreshed is not None
        assert after.refreshed.state == "refreshed"


def test_a_challenger_trained_on_shuffled_labels_is_not_registered(
    shop: Path, orders: Callable[..., Path]
) -> None:
    project, _ = opened(shop)
    with project:
        project.run()
    change(shop, "return steps.fit(X.fillna(0.0), y)", _SHUFFLED)
    project, _ = opened(shop, FIRST + timedelta(days=1))
    with project:
        outcome = project.run()
        assert outcome is not None
        assert outcome.state == "rejected"
        assert outcome.model is None
        assert outcome.evaluation is not None
        assert any("order_return@1" in g.reason or "champion" in g.reason
                   for g in outcome.evaluation.gates if not g.passed)  # fmt: skip
        assert [m.version for m in project.models()] == [1]


_SHUFFLED = "return steps.fit(X.fillna(0.0), y.sample(frac=1, random_state=1).to_numpy())"


def test_a_batch_rule_that_fails_at_first_leaves_no_data_to_train_on(
    shop: Path,
) -> None:
    change(shop, "_.count() > 20", "_.count() > 20_000")
    project, _ = opened(shop)
    with project:
        with pytest.raises(DataError, match="no published rows"):
            project.run()
        assert project.runs()[0].state == "failed"


def test_a_breach_that_persists_retrains_and_the_canary_takes_over(
    shop: Path, orders: Callable[..., Path]
) -> None:
    """Customers change their minds: the first model fails, the loop finds out and replaces it."""
    change(
        shop, 'deadline="30d"', 'deadline="60d", guardrails=ow.Guardrails(max_error_increase=0.05)'
    )
    project, clock = opened(shop)
    seen: list[Any] = []
    with project:
        project.run()
        with live(project) as gateway:
            for week in range(8):
                start = FIRST + timedelta(days=7 * week)
                file = orders(shop, f"week{week}", start=start, days=6, seed=week, flip=True)
                answers = ask(gateway, file, start + timedelta(hours=1))
                assert all(a.status_code == 200 for a in answers)
                clock.advance(start + timedelta(days=7))
                done = turn(project.site, project.definition, project.deliver)
                seen.append(done)
                gateway.settle("order_return")
            last = httpx.get(f"{gateway.url}/routes").json()
        assert last
    verdicts = [done.verdict for done in seen]
    for done in seen:
        print(
            done.report.at if done.report else None,
            [
                (r.monitor, r.subject, r.value, r.limit, r.breached, r.detail)
                for r in (done.report.results if done.report else ())
                if r.monitor in ("drift", "performance") and "column" not in r.subject
            ],
            done.verdict,
            done.decision and (done.decision.action, done.decision.reason),
            [(o.state, o.reason) for o in done.outcomes],
        )
    assert any(isinstance(v, Suppressed) and "1 of 2" in v.reason for v in verdicts)
    wishes = [v for v in verdicts if isinstance(v, RunRequest)]
    assert wishes
    assert wishes[0].trigger == "breach"
    released = [o for done in seen for o in done.outcomes if o.state == "released"]
    assert released
    assert any(done.decision and done.decision.action == "promote" for done in seen)
    serving_now = champion(project.ledger, "order_return")
    assert serving_now is not None
    assert serving_now.model.version >= 2
    require_versions_as_registered(project)


_WITH_ITEMS = 'customer", "amount", "items", "returned"'

_BROKEN_CANDIDATE = '''

class Broken:
    """Works where it is judged, fails where it serves."""

    def __init__(self, inner):
        self.inner = inner
        self.classes_ = inner.classes_
        self.calls = 0

    def predict(self, X):
        return self.inner.predict(X)

    def predict_proba(self, X):
        import os

        self.calls += 1
        if os.environ.get("SHOP_TEST_BREAK") and self.calls > 40:
            raise RuntimeError("the disk of this model fell off")
        return self.inner.predict_proba(X)
'''


def test_a_canary_that_errors_is_rolled_back_and_others_do_not_notice(
    shop: Path, orders: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    project, _ = opened(shop)
    with project:
        project.run()
    text = (shop / "pipeline.py").read_text()
    text = text.replace("return steps.fit(X.fillna(0.0), y)",
                        "return Broken(steps.fit(X.fillna(0.0), y))")  # fmt: skip
    (shop / "pipeline.py").write_text(text + _BROKEN_CANDIDATE)
    project, clock = opened(shop, FIRST + timedelta(days=1))
    with project:
        outcome = project.run()
        assert outcome is not None
        assert outcome.state == "released", outcome.reason
        monkeypatch.setenv("SHOP_TEST_BREAK", "1")
        file = orders(shop, "traffic", rows=4000, start=FIRST + timedelta(days=1), days=6, seed=5)
        with live(project) as gateway:
            failed = answered = 0
            for n, answer in enumerate(_one_by_one(gateway, file, FIRST + timedelta(days=1))):
                failed += answer.status_code != 200
                answered += answer.status_code == 200
                if n % 500 == 499:
                    clock.advance(clock.now() + timedelta(hours=1))
                    decision = turn(project.site, project.definition, project.deliver).decision
                    gateway.settle("order_return")
                    if decision is not None and decision.action == "rollback":
                        break
            release = current(project.ledger, "order_return")
            assert release is not None
            assert release.ended == "rolledback"
            assert "error" in release.reason
            share = failed / (failed + answered)
            assert 0 < share < 0.2
            after = list(_one_by_one(gateway, file, clock.now(), limit=100))
            assert all(a.status_code == 200 for a in after)
        serving_now = champion(project.ledger, "order_return")
        assert serving_now is not None
        assert serving_now.model.version == 1


def _one_by_one(
    gateway: Gateway, file: Path, at: datetime, *, limit: int = 10**9
) -> Iterator[httpx.Response]:
    lines = file.read_text().splitlines()
    names = lines[0].split(",")
    path = f"{gateway.url}/v2/models/order_return/predict"
    with httpx.Client(headers={"onward-event-time": at.isoformat()}) as client:
        for line in lines[1 : limit + 1]:
            row: Mapping[str, str] = dict(zip(names, line.split(","), strict=True))
            asked = {
                "order_id": row["order_id"],
                "customer": row["customer"],
                "amount": float(row["amount"]),
                "items": int(row["items"]),
            }
            yield client.post(path, json={"rows": [asked]})


def require_versions_as_registered(project: Project) -> None:
    """The ledger tells of versions what the registry does, but for the moment."""
    told = [replace(v, created_at=START) for v in project.models()]
    registered = project.site.registry.versions("order_return")
    assert told == [replace(v, created_at=START) for v in registered]


def test_rollback_returns_to_the_champion_before(shop: Path, orders: Callable[..., Path]) -> None:
    project, clock = opened(shop)
    with project:
        with pytest.raises(NotFoundError, match="nothing of 'order_return' was released"):
            rollback(project.site, "order_return", "too early", by="ada")
        require_versions_as_registered(project)
        project.run()
        require_versions_as_registered(project)
        with pytest.raises(NotFoundError, match="no predecessor"):
            rollback(project.site, "order_return", "nowhere to go", by="ada")
        orders(shop, "second", start=START + timedelta(days=40), days=10, seed=2)
        clock.advance(FIRST + timedelta(days=10))
        outcome = project.run()
        assert outcome is not None
        assert outcome.state == "released", outcome.reason
        release = rollback(project.site, "order_return", "a feeling", by="ada")
        assert release.ended == "rolledback"
        assert release.reason == "a feeling"
        require_versions_as_registered(project)


def test_one_process_at_a_time_and_the_other_may_ask(shop: Path) -> None:
    project, _ = opened(shop)
    other, _ = opened(shop)
    with project, other:
        with project.alone(), pytest.raises(BusyError, match="is running the project"):
            other.run()
        wish = request(other.site, "asked from elsewhere")
        assert wish.trigger == "request"


def test_a_prediction_is_traced_in_one_call(shop: Path, orders: Callable[..., Path]) -> None:
    project, clock = opened(shop)
    with project:
        outcome = project.run()
        assert outcome is not None
        file = orders(shop, "traffic", start=FIRST, days=1, seed=3)
        with live(project) as gateway:
            [answer] = ask(gateway, file, FIRST + timedelta(hours=1), limit=5)
        prediction = answer.json()["predictions"][0]
        found = project.lineage(prediction["id"])
        text = dict(found.summary())
        assert text["model"].startswith("model:order_return@1")
        refs = {node.ref for node in found.graph.nodes}
        assert outcome.training is not None
        assert outcome.training.ref in refs
        assert any(ref.startswith("snapshot:raw.orders@") for ref in refs)
        clock.advance(FIRST + timedelta(days=1))
