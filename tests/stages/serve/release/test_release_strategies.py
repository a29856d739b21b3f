"""What each strategy decides, and why: A/B tests, bandits, blue-green switches, shadows."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest

import onward as ow
from onward.core.errors import DeclarationError
from onward.core.records import ReleaseDecision
from onward.stages.serve.release.bandit import allocation
from onward.stages.serve.release.config import Strategy
from onward.stages.serve.release.decision import decide, decide_again
from onward.stages.serve.release.verdict import Progress

START = datetime(2026, 1, 1, tzinfo=UTC)
LOOSE = ow.Guardrails(max_error_increase=0.05, max_latency_increase=1.0, max_loss_increase=0.05)


def traffic(
    shares: Mapping[str, float],
    n: int,
    *,
    step: int = 1,
    errors: Mapping[str, float] | None = None,
    loss: Mapping[str, float] | None = None,
    reward: Mapping[str, float] | None = None,
    seed: int = 0,
) -> pa.Table:
    """n predictions of one step, of a unit each; arms fail, lose and earn at the given rates."""
    chance = np.random.default_rng(seed + 100 * step)
    arms = np.array(list(shares))
    arm = chance.choice(len(arms), n, p=[p / 100 for p in shares.values()])

    def of(rates: Mapping[str, float] | None, default: float) -> np.ndarray:
        return np.array([(rates or {}).get(name, default) for name in arms])[arm]

    rewards = (chance.random(n) < of(reward, 0.5)) * 1.0
    return pa.table(
        {
            "arm": arms[arm],
            "step": np.full(n, step),
            "unit": [f"{seed}-{step}-{i}" for i in range(n)],
            "at": pa.array([START] * n, pa.timestamp("us", "UTC")),
            "status": np.where(chance.random(n) < of(errors, 0.01), 500, 200),
            "latency_us": chance.integers(900, 1_100, n),
            "output": chance.random(n),
            "loss": np.clip(of(loss, 0.2) + chance.normal(0, 0.1, n), 0, 1),
            "reward": pa.nulls(n, pa.float64()) if reward is None else pa.array(rewards),
        }
    )


def judged(
    strategy: Strategy,
    *tables: pa.Table,
    shares: Mapping[int, Mapping[str, float]],
    hours: float = 48.0,
    step_hours: float = 48.0,
) -> Any:
    now = START + timedelta(hours=hours)
    progress = Progress(
        release="release:m@2",
        model="m",
        version=2,
        step=len(shares),
        shares=shares,
        started_at=START,
        step_started_at=now - timedelta(hours=step_hours),
    )
    return decide(strategy, progress, pa.concat_tables(tables), now)


# ---------------------------------------------------------------- A/B tests

THREE = {"champion": 40.0, "candidate": 40.0, "v1": 20.0}
AB = ow.ABTest(split={"candidate": 40, "v1": 20}, guardrails=LOOSE)


def test_the_arm_that_is_shown_to_be_better_is_promoted():
    table = traffic(THREE, 8_000, loss={"candidate": 0.15, "v1": 0.10})
    decision = judged(AB, table, shares={1: THREE})
    assert (decision.action, decision.arm) == ("promote", "v1")
    assert decision.reason.startswith("v1 is better: loss -0.1")
    assert {g.arm for g in decision.guardrails} == {"candidate", "v1"}
    assert decision.strategy == "A/B test"
    [(counts, declared)] = decision.units
    assert sum(counts.values()) == 8_000
    assert declared == {"champion": 0.4, "candidate": 0.4, "v1": 0.2}


def test_no_difference_is_no_reason_to_promote():
    decision = judged(AB, traffic(THREE, 8_000), shares={1: THREE})
    assert decision.action == "hold"
    assert decision.reason.startswith("no arm is shown to be better (candidate: loss ")
    late = judged(AB, traffic(THREE, 8_000), shares={1: THREE}, hours=15 * 24)
    assert late.action == "rollback"
    assert late.reason.startswith("inconclusive after 14 days")


def test_an_early_lead_waits_for_time_and_answers():
    table = traffic(THREE, 1_000, loss={"candidate": 0.05})
    decision = judged(AB, table, shares={1: THREE}, hours=2, step_hours=2)
    assert decision.action == "hold"
    assert "of 500 answers of candidate" in decision.reason
    assert "22:00:00 of the test's time" in decision.reason


def test_a_harmful_arm_loses_its_share_and_the_test_goes_on():
    table = traffic(THREE, 8_000, errors={"v1": 0.3})
    decision = judged(AB, table, shares={1: THREE})
    assert decision.action == "advance"
    assert decision.reason.startswith("harm is shown: v1: error rate")
    assert decision.shares == {"candidate": 40.0, "v1": 0.0}
    after = {"champion": 60.0, "candidate": 40.0, "v1": 0.0}
    both = judged(
        AB, table, traffic(after, 8_000, step=2, errors={"candidate": 0.3}),
        shares={1: THREE, 2: after},
    )  # fmt: skip
    assert both.action == "rollback"


def test_arms_in_other_shares_than_declared_get_no_verdict():
    seen = {"champion": 40.0, "candidate": 30.0, "v1": 30.0}
    decision = judged(AB, traffic(seen, 8_000, loss={"v1": 0.05}), shares={1: THREE})
    assert decision.action == "hold"
    assert decision.reason.startswith("units are not assigned as declared")


def test_equal_arms_are_seldom_promoted_however_often_one_looks():
    wrong = 0
    for seed in range(20):
        table = traffic(THREE, 6_000, seed=seed)
        looks = (judged(AB, table.slice(0, n), shares={1: THREE}) for n in range(1_500, 6_001, 500))
        wrong += any(decision.action in ("promote", "rollback") for decision in looks)
    assert wrong <= 1


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        ({"split": {"v1": 20}}, "leaves the candidate out"),
        ({"split": {"candidate": 60, "v1": 40}}, "leaves the champion nothing"),
        ({"split": {"candidate": 50, "rival": 10}}, "no arm of a split is called 'rival'"),
        ({"split": {"candidte": 50}}, "called 'candidte'\n.*did you mean 'candidate'"),
        ({"split": {"candidate": 50, "V03": 10}}, "did you mean 'v3'"),
        ({"split": {"candidate": 50, 3: 10}}, "did you mean 'v3'"),
        ({"split": {"candidate": 50, "champion": 50}}, "no percentage for the champion"),
        ({"split": ["candidate"]}, r"the split is \['candidate'\]"),
        ({"split": {"candidate": "50"}}, "the share of 'candidate' in the split is '50'"),
        ({"split": {"candidate": 0}}, "the split gives 'candidate' 0 %"),
        ({"goal": "los"}, "no goal of an A/B test 'los'\n.*did you mean 'loss'"),
        ({"goal": "reward"}, r"no guardrail limits it\n.*max_reward_drop=\.\.\."),
        ({"bandit": "thompson"}, "the bandit is 'thompson'"),
        ({"guardrails": {"max_loss_increase": 1}}, r"\n.*ow\.Guardrails\(\.\.\.\)"),
        ({"minimum": "many"}, "minimum is 'many'"),
        ({"bandit": ow.thompson(floor=40), "split": {"candidate": 30, "v1": 30}}, "3 arms cannot"),
    ],
)
def test_a_wrong_test_is_refused_where_it_stands(declared, words):
    with pytest.raises(DeclarationError, match=words) as refused:
        ow.ABTest(**declared)
    assert refused.value.location.file == __file__


# ---------------------------------------------------------------- bandits


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        ({"draws": 0}, "draws is 0\n.*a whole number, 1 or more"),
        ({"draws": 1e4}, "draws is 10000.0"),
        ({"seed": -3}, "seed is -3\n.*a whole number, 0 or more"),
        ({"floor": 0}, "the floor is 0"),
    ],
)
def test_a_wrong_bandit_is_refused_where_it_stands(declared, words):
    with pytest.raises(DeclarationError, match=words) as refused:
        ow.thompson(**declared)
    assert refused.value.location.file == __file__


REWARDED = ow.Guardrails(max_loss_increase=None, max_reward_drop=0.2)
BANDIT = ow.ABTest(
    split={"candidate": 40, "v1": 20}, goal="reward", guardrails=REWARDED,
    bandit=ow.thompson(floor=10, every="1h", seed=7), minimum=5_000,
)  # fmt: skip


def test_shares_follow_rewards_and_every_arm_keeps_its_floor():
    table = traffic(THREE, 2_000, reward={"candidate": 0.6, "v1": 0.4})
    decision = judged(BANDIT, table, shares={1: THREE}, step_hours=2)
    assert decision.action == "advance"
    assert decision.shares["candidate"] > 75
    assert decision.shares["v1"] == pytest.approx(10, abs=0.5)
    assert decision.terms.allotment.seed == 8
    found = decision.terms.allotment
    again = allocation(found.posterior, floor=10, draws=20_000, seed=found.seed)
    assert {arm: again[arm] for arm in decision.shares} == decision.shares
    assert sum(again.values()) == pytest.approx(100)
    won, lost = found.posterior["candidate"]
    assert won + lost == 2 + sum(table["arm"].to_numpy() == "candidate")


def test_an_allocation_lasts_its_time_and_needs_rewards_in_range():
    table = traffic(THREE, 2_000, reward={"candidate": 0.6})
    assert judged(BANDIT, table, shares={1: THREE}, step_hours=0.5).action == "hold"
    silent = judged(BANDIT, traffic(THREE, 2_000), shares={1: THREE}, step_hours=2)
    assert silent.action == "hold"
    assert silent.reason.endswith("no rewards yet")
    place = table.schema.get_field_index("reward")
    large = table.set_column(place, "reward", pa.array(np.full(2_000, 7.5)))
    assert "not between 0 and 1" in judged(BANDIT, large, shares={1: THREE}, step_hours=2).reason


def test_a_unit_that_asks_often_is_one_reward():
    table = traffic(THREE, 500, reward={"candidate": 0.6})
    once = judged(BANDIT, table, shares={1: THREE}, step_hours=2)
    often = judged(BANDIT, *[table] * 4, shares={1: THREE}, step_hours=2)
    assert often.terms.allotment.posterior == once.terms.allotment.posterior


# ---------------------------------------------------------------- blue-green

SWITCH = ow.BlueGreen(warm="10m", keep="1h", guardrails=LOOSE, minimum=200)
BLUE, GREEN = {"champion": 100.0, "candidate": 0.0}, {"champion": 0.0, "candidate": 100.0}


def test_blue_green_warms_then_switches_then_promotes():
    before, after = traffic(BLUE, 2_000), traffic(GREEN, 2_000, step=2)
    cold = judged(SWITCH, before, shares={1: BLUE}, step_hours=0.1)
    assert (cold.action, "of the time to warm" in cold.reason) == ("hold", True)
    warm = judged(SWITCH, before, shares={1: BLUE}, step_hours=0.2)
    assert (warm.action, warm.shares) == ("advance", {"candidate": 100.0})
    shares = {1: BLUE, 2: GREEN}
    kept = judged(SWITCH, before, after, shares=shares, step_hours=0.5)
    assert (kept.action, "0:30:00 of the step's time" in kept.reason) == ("hold", True)
    done = judged(SWITCH, before, after, shares=shares, step_hours=1)
    assert (done.action, done.arm) == ("promote", "candidate")


def test_blue_green_goes_back_on_harm_and_waits_for_answers():
    before = traffic(BLUE, 2_000)
    bad = traffic(GREEN, 500, step=2, errors={"candidate": 0.5})
    decision = judged(SWITCH, before, bad, shares={1: BLUE, 2: GREEN}, step_hours=0.1)
    assert decision.action == "rollback"
    assert "error rate" in decision.reason
    few = traffic(GREEN, 20, step=2)
    waits = judged(SWITCH, before, few, shares={1: BLUE, 2: GREEN}, step_hours=5)
    assert (waits.action, "20 of 200 answers" in waits.reason) == ("hold", True)
    late = judged(SWITCH, before, few, shares={1: BLUE, 2: GREEN}, hours=15 * 24)
    assert late.action == "rollback"


# ---------------------------------------------------------------- shadows

SHADOW = ow.Shadow(bake="1h", minimum=200, guardrails=LOOSE)
MIRRORED = {1: {"champion": 100.0, "shadow": 0.0}}


def mirrored(n: int, *, missing: int = 0, **changes: Any) -> pa.Table:
    """The champion's n predictions, and the shadow's of the same rows but the last few."""
    champion = traffic({"champion": 100.0}, n)
    shadow = champion.slice(0, n - missing)
    chance = np.random.default_rng(1)
    columns = {
        "arm": pa.array(["shadow"] * shadow.num_rows),
        "loss": pa.array(shadow["loss"].to_numpy() + chance.normal(0, 0.01, shadow.num_rows)),
        **{name: make(shadow.num_rows) for name, make in changes.items()},
    }
    for name, values in columns.items():
        place = shadow.schema.get_field_index(name)
        shadow = shadow.set_column(place, name, values)
    order = chance.permutation(shadow.num_rows)
    return pa.concat_tables([champion, shadow.take(order)])


def test_a_shadow_is_judged_on_the_same_rows():
    table = mirrored(1_000)
    decision = judged(SHADOW, table, shares=MIRRORED)
    assert (decision.action, decision.arm) == ("promote", "candidate")
    assert [g.name for g in decision.guardrails] == ["error rate", "loss"]
    loss = decision.guardrails[1]
    assert loss.high - loss.low < 0.01  # unpaired, the rows' own differences would drown it
    assert (loss.arm, loss.candidate_n) == ("shadow", 1_000)


def test_a_shadow_that_fails_or_loses_goes_no_further():
    fails = mirrored(1_000, status=lambda n: pa.array(np.where(np.arange(n) % 5, 200, 500)))
    assert judged(SHADOW, fails, shares=MIRRORED).action == "rollback"
    loses = mirrored(1_000, loss=lambda n: pa.array(np.full(n, 0.5)))
    assert "loss" in judged(SHADOW, loses, shares=MIRRORED).reason


def test_a_shadow_waits_for_rows_that_both_answered():
    decision = judged(SHADOW, mirrored(300, missing=200), shares=MIRRORED, step_hours=0.5)
    assert decision.action == "hold"
    assert "100 of 200 rows answered by both" in decision.reason
    assert "0:30:00 of the shadow's time" in decision.reason
    late = judged(SHADOW, mirrored(300, missing=200), shares=MIRRORED, hours=15 * 24)
    assert late.action == "rollback"
    nothing = judged(SHADOW, traffic({"champion": 100.0}, 300), shares=MIRRORED)
    assert (nothing.action, "no data on error rate" in nothing.reason) == ("hold", True)


def test_a_shadow_whose_predictions_are_others_is_seen():
    guards = ow.Guardrails(max_loss_increase=None, max_shift=0.3)
    strict = ow.Shadow(bake="1h", minimum=200, guardrails=guards)
    constant = mirrored(2_000, output=lambda n: pa.array(np.full(n, 0.5)))
    assert judged(strict, constant, shares=MIRRORED).action == "rollback"
    assert judged(strict, mirrored(3_000), shares=MIRRORED).action == "promote"


def test_repeated_requests_of_a_unit_at_one_moment_are_paired_in_order():
    table = mirrored(600)
    place = table.schema.get_field_index("unit")
    units = np.char.add("u", (np.arange(1_200) % 600 // 2).astype(str))
    shadow_units = np.array(table["unit"].to_pylist()[600:])
    same = {name: f"u{int(name.rpartition('-')[2]) // 2}" for name in shadow_units}
    paired = [*units[:600], *(same[name] for name in shadow_units)]
    decision = judged(SHADOW, table.set_column(place, "unit", pa.array(paired)), shares=MIRRORED)
    assert decision.guardrails[0].candidate_n == 300


# ---------------------------------------------------------------- from the record alone


def stored(decision: ReleaseDecision) -> ReleaseDecision:
    """The decision as the ledger gives it back."""
    body = msgspec.json.encode(msgspec.to_builtins(decision))
    return msgspec.convert(msgspec.json.decode(body), ReleaseDecision, strict=False)


@pytest.mark.parametrize(
    ("strategy", "table", "shares", "action"),
    [
        (AB, traffic(THREE, 9_000, loss={"candidate": 0.1}), THREE, "promote"),
        (AB, traffic(THREE, 9_000, errors={"v1": 0.3}), THREE, "advance"),
        (AB, traffic(THREE, 9_000), THREE, "hold"),
        (BANDIT, traffic(THREE, 2_000, reward={"candidate": 0.6}), THREE, "advance"),
        (SWITCH, traffic(GREEN, 2_000, step=2), GREEN, "promote"),
    ],
)
def test_a_decision_follows_from_its_record(strategy, table, shares, action):
    tables, steps = [table], {1: shares}
    if strategy is SWITCH:
        tables, steps = [traffic(BLUE, 2_000), table], {1: BLUE, 2: GREEN}
    decision = judged(strategy, *tables, shares=steps, step_hours=2)
    assert decision.action == action
    assert decide_again(stored(decision)) == decision


def test_a_shadows_decision_follows_from_its_record():
    guardrails = ow.Guardrails(max_shift=0.2)
    shadow = ow.Shadow(bake="1h", minimum=200, guardrails=guardrails)
    decision = judged(shadow, mirrored(4_000), shares={1: {"champion": 100.0, "shadow": 0.0}})
    assert decision.action == "promote"
    assert decide_again(stored(decision)) == decision
