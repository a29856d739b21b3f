"""Releases from the ledger's side: what is told, what routes follow, what a crash leaves.

The ledger, the routes and the statistics are real; traffic is made up.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import onward as ow
from onward.core.clock import ReplayClock
from onward.core.errors import NotFoundError
from onward.core.records import ImageRef, ModelRef, ReleaseDecision
from onward.flow import judge as judging
from onward.flow import release as releasing
from onward.flow import steer
from onward.flow.approval import approvals, asked_for
from onward.flow.happened import happened
from onward.flow.observe import _observation_types
from onward.flow.release import advance, begin, rollback
from onward.flow.releases import champion, current, decisions
from onward.flow.routing import enact
from onward.flow.site import Folders
from onward.infra.database import open_database
from onward.stages.serve.release.decision import decide_again
from onward.stages.serve.routes import read_routes
from onward.watch.audit.adapters.sql import SqlLedger

START = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
GUARDS = ow.Guardrails(max_loss_increase=None, max_error_increase=0.05)
CANARY = ow.Canary(steps=30, maximum=50, bake="1h", minimum=200, guardrails=GUARDS)


def image(version: int) -> ImageRef:
    model = ModelRef(name="m", version=version, path="", digest="", trained="", card="")
    return ImageRef(name="m", digest=f"sha256:{version}", layout="", model=model)


class Registry:
    """A registry that knows its champion."""

    def __init__(self) -> None:
        self.known: ModelRef | None = None

    def champion(self, name: str) -> ModelRef | None:
        return self.known

    def promote(self, model: ModelRef) -> None:
        self.known = model


class Shop:
    """A site whose traffic follows its routes, and a definition with the strategies given."""

    def __init__(self, folder: Path, *strategies: Any, access: Any = None) -> None:
        self.clock = ReplayClock(START)
        self.site: Any = SimpleNamespace(
            ledger=SqlLedger(open_database(folder / "onward.db")),
            clock=self.clock,
            registry=Registry(),
            folders=Folders(folder),
        )
        pipeline = SimpleNamespace(release=strategies)
        self.definition: Any = SimpleNamespace(model="m", pipeline=pipeline, access=access)
        self.errors: dict[str, float] = {}
        self.loss: dict[str, float] = {}
        self.skew = timedelta(0)
        self.rows: list[pa.Table] = []
        self.seed = 0

    def begin(self, version: int) -> Any:
        happened(self.site, "image.packaged", "m", key=str(version), image=image(version))
        return begin(self.site, self.definition, image(version), f"run-{version}")

    def routes(self) -> dict[str, tuple[int, float]]:
        routes, _ = read_routes(self.site.folders.routes / "m.json")
        return {r.arm: (r.image.model.version, r.percent) for r in routes.routes}

    def ask(self, n: int = 3_000) -> None:
        """Let n units ask, each once, and be assigned by the routes; then an hour passes."""
        routes, _ = read_routes(self.site.folders.routes / "m.json")
        chance = np.random.default_rng(self.seed)
        self.seed += 1
        asked = [r for r in routes.routes if r.percent or r.arm == "champion"]
        place = chance.choice(len(asked), n, p=[r.percent / 100 for r in asked])
        arm = np.array([r.arm for r in asked])[place]
        step = int(asked[0].release.rpartition(".")[2])
        at = self.clock.now() + self.skew
        answers = {
            "unit": [f"u{self.seed}-{i}" for i in range(n)],
            "at": pa.array([at] * n, pa.timestamp("us", "UTC")),
            "latency_us": chance.integers(900, 1_100, n),
            "output": chance.random(n),
            "reward": pa.nulls(n, pa.float64()),
            "step": pa.array([step] * n, pa.int32()),
        }
        for name in {*arm, *([r.arm for r in routes.routes if r.arm == "shadow"])}:
            rows = np.flatnonzero(arm == ("champion" if name == "shadow" else name))
            table = pa.table(answers).take(rows)
            failed = chance.random(len(rows)) < self.errors.get(name, 0.01)
            loss = np.clip(self.loss.get(name, 0.2) + chance.normal(0, 0.02, len(rows)), 0, 1)
            table = table.append_column("arm", pa.array([name] * len(rows)))
            table = table.append_column("status", pa.array(np.where(failed, 500, 200)))
            self.rows.append(table.append_column("loss", pa.array(loss)))
        self.clock.advance(self.clock.now() + HOUR)

    def turn(self, n: int = 3_000) -> ReleaseDecision | None:
        self.ask(n)
        return advance(self.site, self.definition)

    def observed(self, *_: Any) -> pa.Table:
        nothing = pa.schema(_observation_types()).empty_table()
        return pa.concat_tables(self.rows) if self.rows else nothing

    def told(self) -> list[str]:
        events = [t.event for t in self.site.ledger.events(subject="m")]
        return [e.kind.removeprefix("release.") for e in events if e.kind.startswith("release.")]


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Make a shop whose first version serves."""

    def make(*strategies: Any, access: Any = None) -> Shop:
        made = Shop(tmp_path, *strategies, access=access)
        monkeypatch.setattr(releasing, "bring_in", lambda _: None)
        monkeypatch.setattr(judging, "observations", made.observed)
        made.begin(1)
        return made

    return make


def test_a_step_that_is_no_divisor_of_the_maximum_leads_to_a_promotion_that_happens(shop):
    it = shop(CANARY)
    it.begin(2)
    seen = [it.routes()]
    for _ in range(3):
        it.turn()
        seen.append(it.routes())
        if current(it.site.ledger, "m").ended:
            break
    assert [r["candidate"][1] for r in seen[:2]] == [30, 50]
    assert seen[2] == {"champion": (2, 100.0)}
    assert champion(it.site.ledger, "m") == image(2)
    assert it.site.registry.known.version == 2
    assert it.told()[-3:] == ["started", "stepped", "ended"]
    kept = decisions(it.site.ledger, current(it.site.ledger, "m"))
    assert [d.action for d in kept] == ["advance", "promote"]
    assert [decide_again(d) for d in kept] == kept
    assert kept[0].terms.deadline == START + timedelta(days=14)


def test_units_stay_where_they_are_as_the_share_grows(shop):
    it = shop(CANARY)
    it.begin(2)
    first, _ = read_routes(it.site.folders.routes / "m.json")
    it.turn()
    second, _ = read_routes(it.site.folders.routes / "m.json")
    assert first.salt == second.salt
    [(low, high)] = first.routes[1].buckets
    [(lower, as_high)] = second.routes[1].buckets
    assert (low, lower, high, as_high) == (7_000, 5_000, 10_000, 10_000)


@pytest.mark.parametrize("hours", [-20, 20])
def test_a_gateway_whose_clock_is_wrong_changes_nothing(shop, hours):
    it = shop(CANARY)
    it.skew = timedelta(hours=hours)
    it.begin(2)
    assert [it.turn().action for _ in range(2)] == ["advance", "promote"]


def test_no_data_and_one_sided_data_hold_and_fall_back(shop):
    it = shop(CANARY)
    it.begin(2)
    it.ask(0)
    assert advance(it.site, it.definition).action == "hold"
    it.rows = [t for t in it.rows if "candidate" not in t["arm"].to_pylist()]
    it.ask(2_000)
    it.rows = [t for t in it.rows if "candidate" not in t["arm"].to_pylist()]
    decision = advance(it.site, it.definition)
    assert decision.action == "hold"
    assert decision.reason.startswith("units are not assigned as declared (candidate 0 of ")
    it.clock.advance(START + timedelta(days=15))
    late = advance(it.site, it.definition)
    assert late.action == "rollback"
    assert it.routes() == {"champion": (1, 100.0)}
    assert advance(it.site, it.definition) is None


def test_a_shadow_then_a_canary(shop):
    shadow = ow.Shadow(bake="1h", minimum=200, guardrails=GUARDS)
    it = shop(shadow, CANARY)
    it.begin(2)
    assert it.routes() == {"champion": (1, 100.0), "shadow": (2, 0.0)}
    decision = it.turn()
    assert (decision.strategy, decision.action) == ("shadow", "promote")
    assert it.routes() == {"champion": (1, 70.0), "candidate": (2, 30.0)}
    release = current(it.site.ledger, "m")
    assert (release.strategy, release.step, list(release.shares)) == (1, 2, [2])
    assert [it.turn().action for _ in range(2)] == ["advance", "promote"]
    assert champion(it.site.ledger, "m") == image(2)


def test_a_bad_shadow_gets_no_traffic(shop):
    it = shop(ow.Shadow(bake="1h", minimum=200, guardrails=GUARDS), CANARY)
    it.begin(2)
    it.errors = {"shadow": 0.5}
    assert it.turn().action == "rollback"
    assert it.routes() == {"champion": (1, 100.0)}


def test_blue_green_keeps_the_champion_warm_and_goes_back_by_one_command(shop):
    it = shop(ow.BlueGreen(warm="10m", keep="10h", minimum=200, guardrails=GUARDS))
    it.begin(2)
    assert it.routes() == {"champion": (1, 100.0), "candidate": (2, 0.0)}
    it.turn()
    assert it.routes() == {"champion": (1, 0.0), "candidate": (2, 100.0)}
    it.turn()
    ended = rollback(it.site, "m", "a feeling", by="ada")
    assert it.routes() == {"champion": (1, 100.0)}
    assert (ended.ended, ended.by, ended.reversions) == ("rolledback", "ada", ())


def test_the_record_of_a_release_ends_with_what_happened_last(shop):
    it = shop(CANARY)
    it.begin(2)
    steer.promote(it.site, "m", "reviewed", by="ada")
    release = current(it.site.ledger, "m")
    assert (release.arm, release.by, release.percent) == ("candidate", "ada", 100.0)
    it.begin(3)
    steer.abort(it.site, "m", "no", by="ada")
    taken = rollback(it.site, "m", "calls", by="bob")
    assert it.routes() == {"champion": (1, 100.0)}
    assert taken.endings == (
        "version 3 was rolled back at 2026-01-01 00:00 by ada: no",
        "version 2 was taken back at 2026-01-01 00:00 by bob, and version 1 serves again: calls",
    )
    assert current(it.site.ledger, "m") == taken
    with pytest.raises(NotFoundError, match="has no predecessor"):
        rollback(it.site, "m", "once more", by="bob")
    assert current(it.site.ledger, "m").percent == 0.0


def test_a_test_of_three_arms_promotes_the_best(shop):
    it = shop(
        ow.ABTest(
            split={"candidate": 40, "v2": 20}, bake="2h", minimum=200,
            guardrails=ow.Guardrails(max_error_increase=0.05),
        )
    )  # fmt: skip
    with pytest.raises(NotFoundError, match="names 'v2': there is no version 'v2'"):
        it.begin(3)
    happened(it.site, "image.packaged", "m", key="2", image=image(2))
    it.begin(3)
    assert it.routes() == {"champion": (1, 40.0), "candidate": (3, 40.0), "v2": (2, 20.0)}
    it.loss = {"v2": 0.1}
    decisions = [it.turn() for _ in range(2)]
    assert [(d.action, d.arm) for d in decisions] == [("hold", ""), ("promote", "v2")]
    assert it.routes() == {"champion": (2, 100.0)}
    assert champion(it.site.ledger, "m") == image(2)


def test_a_bandit_moves_shares_in_the_ledger(shop):
    it = shop(
        ow.ABTest(
            split={"candidate": 30}, bake="9h", minimum=200, bandit=ow.thompson(every="1h"),
            guardrails=ow.Guardrails(max_error_increase=0.05),
        )
    )  # fmt: skip
    it.begin(2)
    it.loss = {"candidate": 0.05}
    decision = it.turn(600)
    assert (decision.strategy, decision.action) == ("bandit", "advance")
    assert it.routes()["candidate"][1] > 50
    assert decision.terms.allotment.posterior.keys() == {"champion", "candidate"}
    release = current(it.site.ledger, "m")
    assert release.now == {
        "champion": pytest.approx(100 - decision.shares["candidate"]), **decision.shares
    }  # fmt: skip
    assert (release.strategy_started_at, release.step_started_at) == (START, START + HOUR)


def test_a_newer_version_ends_the_release_before(shop):
    it = shop(CANARY)
    it.begin(2)
    it.begin(3)
    assert it.routes() == {"champion": (1, 70.0), "candidate": (3, 30.0)}
    ended = [t.event for t in it.site.ledger.events(kind="release.ended")]
    assert [e.facts["reason"] for e in ended][1:] == ["superseded by version 3"]


@pytest.mark.parametrize("harm", [0.01, 0.5])
def test_whoever_tells_the_ledger_first_decides(shop, monkeypatch, harm):
    """A person promotes, or aborts, while the loop has judged and not yet acted."""
    it = shop(CANARY)
    it.begin(2)
    it.errors = {"candidate": harm}
    judge = releasing.judge

    def beaten(*given):
        decision = judge(*given)
        hand = steer.abort if harm < 0.1 else steer.promote
        hand(it.site, "m", "by hand", by="ada")
        return decision

    monkeypatch.setattr(releasing, "judge", beaten)
    assert it.turn().action == ("advance" if harm < 0.1 else "rollback")
    release = current(it.site.ledger, "m")
    assert (release.ended, release.by) == ("rolledback" if harm < 0.1 else "promoted", "ada")
    assert it.routes() == {"champion": (1 if harm < 0.1 else 2, 100.0)}
    assert "stepped" not in it.told()
    assert advance(it.site, it.definition) is None


def test_an_audience_is_in_the_routes_while_the_strategy_lasts(shop):
    it = shop(ow.Canary(steps=[10], minimum=200, audience="country == 'NL'"))
    it.begin(2)
    routes, _ = read_routes(it.site.folders.routes / "m.json")
    assert (routes.audience, routes.beside) == ("country == 'NL'", "release:m@1.2")
    steer.abort(it.site, "m", "enough", by="ada")
    routes, _ = read_routes(it.site.folders.routes / "m.json")
    assert (routes.audience, routes.beside) == ("", "")


# ---------------------------------------------------------------- a person's hand


def test_a_paused_release_goes_nowhere_but_back(shop):
    it = shop(CANARY)
    it.begin(2)
    assert steer.pause(it.site, "m", "a holiday", by="ada").paused == "a holiday"
    held = it.turn()
    assert held.action == "hold"
    assert held.reason.startswith("paused (a holiday), else advance: safe at 50 %")
    assert steer.resume(it.site, "m", "back again", by="ada").paused == ""
    with pytest.raises(NotFoundError, match="is not paused"):
        steer.resume(it.site, "m", "twice", by="ada")
    assert it.turn().action == "advance"
    steer.pause(it.site, "m", "again", by="ada")
    it.errors = {"candidate": 0.5}
    assert it.turn().action == "rollback"
    assert it.routes() == {"champion": (1, 100.0)}


def test_promoted_and_aborted_by_hand(shop):
    it = shop(CANARY)
    with pytest.raises(NotFoundError, match="version 1 was promoted"):
        steer.pause(it.site, "m", "nothing to pause", by="ada")
    it.begin(2)
    with pytest.raises(NotFoundError, match="no arm of this release 'v9'"):
        steer.promote(it.site, "m", "", by="ada", arm="v9")
    assert steer.promote(it.site, "m", "reviewed", by="ada").ended == "promoted"
    assert it.routes() == {"champion": (2, 100.0)}
    told = it.site.ledger.events(kind="release.ended", newest_first=True, limit=1)[0].event
    assert (told.facts["by"], told.facts["reason"]) == ("ada", "reviewed")
    it.begin(3)
    steer.abort(it.site, "m", "no", by="ada")
    assert it.routes() == {"champion": (2, 100.0)}


def test_a_promotion_waits_for_approval_where_access_says_so(shop):
    it = shop(CANARY, access=SimpleNamespace(approvals=("promote",)))
    it.begin(2)
    assert it.turn().action == "advance"
    waits = it.turn()
    assert waits.action == "hold"
    [asked] = it.site.ledger.events(kind="approval.requested")
    request = asked.event.subject
    assert waits.reason.startswith(f"waits for `onward approve {request}`")
    assert (asked.event.facts["action"], asked.event.facts["target"]) == ("promote", "m")
    [waiting] = approvals(it.site.ledger)
    assert (waiting.state, waiting.about) == ("waits", "m, version 2 (sha256:2…)")
    happened(it.site, "approval.given", request, key=request, by="bob", reason="")
    assert it.turn().action == "promote"
    told = it.site.ledger.events(kind="release.ended", newest_first=True, limit=1)[0].event
    assert told.facts["approved_by"] == "bob"
    [given] = approvals(it.site.ledger)
    assert (given.state, given.approver) == ("given", "bob")


def test_an_approval_is_of_one_version_as_it_was_packaged(shop):
    it = shop(CANARY, access=SimpleNamespace(approvals=("promote",)))
    it.begin(2)
    it.turn()
    it.turn()
    [second] = approvals(it.site.ledger)
    happened(it.site, "approval.given", second.request, key=second.request, by="bob", reason="")
    it.begin(3)
    it.turn()
    assert it.turn().action == "hold"
    states = {a.images[0].version: a.state for a in approvals(it.site.ledger)}
    assert states == {2: "given", 3: "waits"}
    it.begin(4)
    assert [a.state for a in approvals(it.site.ledger)] == ["given", "void"]
    again = replace(image(4), digest="sha256:4b")
    requests = {asked_for("ada", "promote", "m", [i]).request for i in (image(4), again)}
    assert len(requests) == 2


def test_a_promotion_that_nobody_approves_falls_back_at_the_deadline(shop):
    it = shop(CANARY, access=SimpleNamespace(approvals=("promote",)))
    it.begin(2)
    it.turn()
    it.turn()
    it.clock.advance(START + timedelta(days=15))
    decision = it.turn()
    assert decision.action == "rollback"
    assert decision.reason.startswith("nobody approved it in time")
    [_, kept] = decisions(it.site.ledger, current(it.site.ledger, "m"))
    assert (kept.action, kept.allowed) == ("rollback", "promote")
    assert decide_again(kept).action == "promote"


# ---------------------------------------------------------------- crashes

_STEP = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
import test_release_steps as steps
from onward.flow import release

it = steps.Shop(Path(sys.argv[1]), steps.CANARY)
release.bring_in = lambda _: None
steps.judging.observations = it.observed
it.begin(1)
it.begin(2)
it.ask()

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

kept, times = release.enact, []
def enact(site, model):
    times.append(model)
    die() if len(times) == 2 else kept(site, model)

if sys.argv[3] == "decided":
    release.happened = die  # the step is decided, and in no ledger yet
else:
    release.enact = enact  # the second call comes when the step is in the ledger
steps.advance(it.site, it.definition)
"""


@pytest.mark.crash
@pytest.mark.parametrize("killed", ["decided", "told"])
def test_a_controller_killed_in_the_middle_of_a_step_goes_on(shop, tmp_path, killed):
    folder = tmp_path / "killed"
    folder.mkdir()
    script = tmp_path / "step.py"
    script.write_text(_STEP)
    ended = subprocess.run(
        [sys.executable, str(script), str(folder), str(Path(__file__).parent), killed],
        env={**os.environ}, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    it = shop(CANARY)
    it.site.folders = Folders(folder)
    it.site.ledger = SqlLedger(open_database(folder / "onward.db"))
    assert it.routes()["candidate"][1] == 30
    if killed == "decided":
        assert current(it.site.ledger, "m").percent == 30
        it.clock.advance(START + HOUR)
        it.rows.clear()
        assert it.turn().action == "advance"
    else:
        assert current(it.site.ledger, "m").percent == 50
        enact(it.site, "m")
    assert it.routes()["candidate"][1] == 50
    assert it.told().count("stepped") == 1
