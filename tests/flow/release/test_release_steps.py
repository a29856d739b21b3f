"""Releases from the ledger's side: what is told, what routes follow, what a crash leaves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

import onward as ow
from onward.core.errors import NotFoundError
from onward.flow.happened import happened
from onward.flow.release import steer
from onward.flow.release.loop import advance, rollback
from onward.flow.release.releases import champion, current, decisions
from onward.flow.release.routing import enact
from onward.flow.site import Folders
from onward.infra.database import open_database
from onward.stages.serve.release.decision import decide_again
from onward.stages.serve.routes import read_routes
from onward.watch.audit.adapters.sql import SqlLedger
from release_shop import CANARY, GUARDS, HOUR, START, Shops, image


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shops:
    """Make a shop whose first version serves."""
    return Shops(tmp_path, monkeypatch)


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


def test_an_audience_is_in_the_routes_while_the_strategy_lasts(shop):
    it = shop(ow.Canary(steps=[10], minimum=200, audience="country == 'NL'"))
    it.begin(2)
    routes, _ = read_routes(it.site.folders.routes / "m.json")
    assert (routes.audience, routes.beside) == ("country == 'NL'", "release:m@1.2")
    steer.abort(it.site, "m", "enough", by="ada")
    routes, _ = read_routes(it.site.folders.routes / "m.json")
    assert (routes.audience, routes.beside) == ("", "")


# ---------------------------------------------------------------- crashes

_STEP = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
import release_shop as steps
from onward.flow.release import loop as release

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
        [sys.executable, str(script), str(folder), str(Path(__file__).parents[2]), killed],
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
