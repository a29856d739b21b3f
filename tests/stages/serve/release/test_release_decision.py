"""What is decided about a release, and why."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest

from onward.core.records import ReleaseDecision
from onward.stages.serve.release.config import SMALLEST, Canary, Guardrails
from onward.stages.serve.release.decision import decide, decide_again
from onward.stages.serve.release.verdict import Progress

START = datetime(2026, 1, 1, tzinfo=UTC)
CANARY = Canary(steps=[10, 50], bake="1h", minimum=200, deadline="7d")


def progress(step: int = 1, hours: float = 2.0) -> Progress:
    return Progress(
        release="release:m@2",
        model="m",
        version=2,
        step=step,
        shares={
            n: {"champion": 100 - CANARY.steps[n - 1], "candidate": CANARY.steps[n - 1]}
            for n in range(1, step + 1)
        },
        started_at=START,
        step_started_at=START + timedelta(hours=step - 1),
    )


def traffic(
    n: int,
    *,
    step: int = 1,
    percent: float | None = None,
    errors: tuple[float, float] = (0.01, 0.01),
    latency: tuple[float, float] = (1_000.0, 1_000.0),
    loss: tuple[float, float] | None = (0.1, 0.1),
    seed: int = 0,
) -> pa.Table:
    """n predictions of one step; pairs are (champion's, candidate's) rates and means."""
    chance = np.random.default_rng(seed + 1_000 * step)
    share = CANARY.steps[step - 1] if percent is None else percent
    candidate = chance.random(n) < share / 100
    side = candidate.astype(int)
    losses = None if loss is None else chance.exponential(1, n) * np.array(loss)[side]
    return pa.table(
        {
            "arm": np.where(candidate, "candidate", "champion"),
            "step": np.full(n, step),
            "unit": [f"{seed}-{step}-{i}" for i in range(n)],
            "at": [START] * n,
            "status": np.where(chance.random(n) < np.array(errors)[side], 500, 200),
            "latency_us": (chance.lognormal(0, 0.5, n) * np.array(latency)[side]).astype(int),
            "output": chance.random(n),
            "reward": pa.nulls(n, pa.float64()),
            "loss": pa.array(losses) if losses is not None else pa.nulls(n, pa.float64()),
        }
    )


def judged(
    *tables: pa.Table, step: int = 1, hours: float = 3.0, canary: Canary = CANARY, **kw: Any
):
    now = START + timedelta(hours=hours)
    return decide(canary, progress(step), pa.concat_tables(tables), now)


def states(decision: ReleaseDecision) -> dict[str, str]:
    return {g.name: g.state for g in decision.guardrails}


def test_equal_arms_advance_and_are_promoted():
    first = traffic(20_000)
    decision = judged(first)
    assert decision.action == "advance"
    assert decision.reason.startswith("safe at 50 % of traffic: error rate ")
    assert set(states(decision).values()) == {"safe"}
    second = judged(first, traffic(20_000, step=2), step=2)
    assert second.action == "promote"
    assert (second.step, second.percent, second.version) == (2, 50, 2)


@pytest.mark.parametrize(
    ("harm", "name"),
    [
        ({"errors": (0.01, 0.10)}, "error rate"),
        ({"latency": (1_000.0, 3_000.0)}, "latency"),
        ({"loss": (0.1, 0.3)}, "loss"),
    ],
)
def test_harm_rolls_back_before_any_minimum(harm, name):
    decision = judged(
        traffic(6_000, **harm), hours=1.1, canary=Canary(minimum=5_000, steps=[10, 50])
    )
    assert decision.action == "rollback"
    assert decision.reason.startswith(f"harm is shown: {name}")
    assert states(decision)[name] == "harm"


def test_everything_that_is_missing_is_said():
    decision = judged(traffic(500, loss=None), hours=0.5)
    assert decision.action == "hold"
    for words in (
        "no data on loss",
        "error rate -",
        "of 200 answers",
        "0:30:00 of the step's time",
    ):
        assert words in decision.reason


def test_no_data_holds_and_the_deadline_returns_to_the_champion():
    nothing = traffic(0)
    assert judged(nothing).action == "hold"
    assert judged(nothing.schema.empty_table()).action == "hold"
    assert set(states(judged(nothing)).values()) == {"no data"}
    late = judged(nothing, hours=7 * 24)
    assert late.action == "rollback"
    assert late.reason.startswith("inconclusive after 7 days")


def test_one_arm_alone_is_no_comparison():
    alone = traffic(2_000, percent=0)
    assert judged(alone).action == "hold"
    few = traffic(SMALLEST * 5)
    assert states(judged(few))["error rate"] == "no data"


def test_labels_that_never_come_hold_until_the_deadline_unless_nobody_asks():
    unlabelled = traffic(20_000, loss=None)
    assert judged(unlabelled).action == "hold"
    asks_not = Canary(
        steps=[10, 50], bake="1h", minimum=200, guardrails=Guardrails(max_loss_increase=None)
    )
    assert judged(unlabelled, canary=asks_not).action == "advance"


def test_units_in_other_shares_than_declared_get_no_verdict():
    skewed = traffic(20_000, percent=13, errors=(0.01, 0.5))
    decision = judged(skewed)
    assert decision.action == "hold"
    assert decision.reason.startswith("units are not assigned as declared")
    assert judged(skewed, hours=200).action == "rollback"


def test_assignment_is_judged_by_unit_where_units_are_known():
    """One unit that asks a thousand times is one assignment."""
    table = traffic(5_000)
    busy = traffic(1_000, percent=100, seed=5)
    units = [f"u{i}" for i in range(5_000)] + ["busy"] * 1_000
    both = pa.concat_tables([table, busy])
    assert "not assigned" in judged(both).reason
    place = both.schema.get_field_index("unit")
    assert "not assigned" not in judged(both.set_column(place, "unit", pa.array(units))).reason


def test_after_the_deadline_a_step_does_not_advance_but_the_last_may_be_promoted():
    first = traffic(20_000)
    assert judged(first, hours=200).action == "rollback"
    assert judged(first, traffic(20_000, step=2), step=2, hours=200).action == "promote"


def test_a_pause_of_the_machine_is_no_slow_model():
    table = traffic(20_000)
    latency = table["latency_us"].to_numpy().copy()
    candidates = np.flatnonzero(np.array(table["arm"].to_pylist()) == "candidate")
    latency[candidates[:3]] = 10**9
    place = table.schema.get_field_index("latency_us")
    paused = table.set_column(place, "latency_us", pa.array(latency))
    assert states(judged(paused))["latency"] == "safe"


def test_arms_outside_the_comparison_do_not_count():
    table = traffic(20_000)
    direct = traffic(5_000, errors=(1.0, 1.0)).set_column(0, "arm", pa.array(["direct"] * 5_000))
    assert judged(table, direct).guardrails == judged(table).guardrails


def test_the_canary_refuses_no_one_wrongly_more_often_than_alpha():
    """A/A with zero tolerance, a look every 100 requests: the whole rule, peeked at."""
    none = Guardrails(max_error_increase=0.0, max_latency_increase=0.0, max_loss_increase=0.0)
    strict = Canary(steps=[50], bake="1h", minimum=200, guardrails=none)
    rolled = 0
    runs = 60
    for run in range(runs):
        table = traffic(3_000, percent=10, errors=(0.05, 0.05), seed=10 + run)
        looks = (judged(table.slice(0, end), canary=strict) for end in range(100, 3_001, 100))
        rolled += any(decision.action == "rollback" for decision in looks)
    assert rolled / runs <= none.alpha


def test_figures_are_finite_wherever_there_are_data():
    decision = judged(traffic(1_000))
    assert all(math.isfinite(g.low) and math.isfinite(g.high) for g in decision.guardrails)


# ---------------------------------------------------------------- from the record alone


def stored(decision: ReleaseDecision) -> ReleaseDecision:
    """The decision as the ledger gives it back."""
    body = msgspec.json.encode(msgspec.to_builtins(decision))
    return msgspec.convert(msgspec.json.decode(body), ReleaseDecision, strict=False)


@pytest.mark.parametrize(
    ("tables", "kw", "action"),
    [
        ([traffic(20_000)], {}, "advance"),
        ([traffic(20_000), traffic(20_000, step=2)], {"step": 2}, "promote"),
        ([traffic(6_000, errors=(0.01, 0.2))], {}, "rollback"),
        ([traffic(500, loss=None)], {"hours": 0.5}, "hold"),
        ([traffic(0)], {"hours": 24 * 8}, "rollback"),
        ([traffic(4_000, percent=50)], {}, "hold"),
    ],
)
def test_a_canary_is_decided_again_from_its_record(tables, kw, action):
    guardrails = Guardrails(max_shift=0.3, max_reward_drop=None)
    canary = Canary(steps=[10, 50], minimum=200, deadline="7d", guardrails=guardrails)
    decision = judged(*tables, canary=canary, **kw)
    assert decision.action == action
    kept = stored(decision)
    assert kept == decision
    assert decide_again(kept) == decision


def test_what_the_record_says_is_what_the_decision_is_held_to():
    decision = judged(traffic(3_000), hours=3.0)
    held = decision.terms
    assert (held.since, held.deadline) == (START, START + timedelta(days=7))
    assert held.not_before == START + timedelta(hours=1)
    assert (held.minimum, held.answered["candidate"]) == (200, decision.units[0][0]["candidate"])
    assert (held.following, held.step, held.steps) == ({"candidate": 50}, 1, 2)
    stricter = replace(decision, terms=replace(held, minimum=10_000))
    assert decide_again(stricter).action == "hold"
    [errors, *rest] = decision.guardrails
    worse = replace(errors, evidence=replace(errors.evidence, estimate=0.5))
    assert decide_again(replace(decision, guardrails=(worse, *rest))).action == "rollback"
    later = replace(decision, at=held.deadline)
    assert decide_again(later).action == "rollback"


def test_a_difference_of_one_step_follows_from_counted_answers():
    table = traffic(8_000, errors=(0.02, 0.04))
    errors = judged(table).guardrails[0]
    failed = [
        np.mean(table.filter(pa.array(np.array(table["arm"]) == arm))["status"].to_numpy() != 200)
        for arm in ("candidate", "champion")
    ]
    assert errors.difference == pytest.approx(failed[0] - failed[1])
    assert errors.evidence.alpha == pytest.approx(CANARY.guardrails.alpha / 3)
    c, h = errors.candidate_n, errors.champion_n
    assert errors.evidence.weight == pytest.approx(c * h / (c + h))
