"""`onward release`, as it is typed, over a log of predictions and feedback."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from marked_pages import guide
from onward.app.project import Project, open_project
from onward.core.errors import DeniedError, NotFoundError
from onward.core.records import ImageRef, ModelRef
from onward.flow.release.loop import advance, begin
from onward.flow.release.observe import bring_in, observations
from onward.flow.release.releases import current
from onward.stages.serve.log.segment import Batch, Feedback, Header
from onward.stages.serve.log.writer import PredictionLog
from onward.stages.serve.routes import bucket, owners, read_routes
from onward.surfaces.cli.commands import cli

REGISTRY = "onward.stages.register.adapters.mlflow.MlflowRegistry"
ACCESS = """
access = ow.Access(
    roles={"ops": ow.may(promote="*", approve="*"), "guest": ow.may(read="*")},
    members={"ops": ["ada", "bob"], "guest": "*"},
    approvals=["promote"],
)
"""


def invoke(folder: Path, *words: str) -> Result:
    return CliRunner().invoke(cli, [*words, "--project", str(folder)], catch_exceptions=False)


def image(version: int) -> ImageRef:
    model = ModelRef(name="order_return", version=version, path="", digest="", trained="", card="")
    return ImageRef(name="order_return", digest=f"sha256:{version}", layout="", model=model)


@pytest.fixture
def shop(own_stock: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A shop whose second version is at the canary's first step; nothing was asked yet."""
    monkeypatch.setattr(f"{REGISTRY}.champion", lambda *_: None)
    monkeypatch.setattr(f"{REGISTRY}.promote", lambda *_: None)
    with open_project(own_stock) as project:
        for version in (1, 2):
            begin(project.site, project.definition, image(version), f"run-{version}")
    return own_stock


def ask(project: Project, n: int, *, failing: float = 0.0, at: datetime | None = None) -> list[str]:
    """Log n predictions, of a unit each, by the routes; return their ids."""
    routes, _ = read_routes(project.site.folders.routes / "order_return.json")
    owner = owners(routes.routes)
    chance = np.random.default_rng(n)
    moment = at or datetime.now(UTC)
    log = PredictionLog(project.site.folders.predictions, started_ns=n * 1_000_000)
    ids = []
    for place, route in enumerate(routes.routes):
        units = [
            u for u in (f"x{n}-{i}" for i in range(n)) if owner[bucket(routes.salt, u)] == place
        ]
        k = len(units)
        failed = chance.random(k) < (failing if route.arm == "candidate" else 0.0)
        header = Header(
            model="order_return", version=route.image.model.version, image=route.image.digest,
            release=route.release, arm=route.arm, request=(), features=("f",), strings=(), width=1,
        )  # fmt: skip
        batch = Batch(
            header=0,
            at=[int((moment + timedelta(milliseconds=i)).timestamp() * 1e6) for i in range(k)],
            unit=units,
            status=np.where(failed, 500, 200).tolist(),
            latency_us=chance.integers(900, 1_100, k).tolist(),
            requests=[None] * k,
            features=np.zeros(k).tobytes(),
            strings=None,
            output=np.where(failed, np.nan, 0.25).tobytes(),
            errors=None,
        )
        [address] = log.append([(header, batch)], [])
        ids += [f"{address}.{row:x}" for row in range(k)]
    log.close()
    return ids


def test_a_release_shows_arms_guardrails_and_what_is_missing(shop):
    with open_project(shop) as project:
        ask(project, 2_000)
        bring_in(project.site)
    shown = invoke(shop, "release").output
    assert "version 2 of order_return: canary" in shown
    for words in ("champion", "candidate", "10 %", "no gateway", "error rate", "latency", "loss"):
        assert words in shown
    assert "hold: still missing: " in shown
    found = json.loads(invoke(shop, "release", "--json").output)
    assert found["release"]["shares"] == {"1": {"champion": 90.0, "candidate": 10.0}}
    assert found["decision"]["guardrails"][0]["state"] in ("safe", "undecided")
    [[counts, declared]] = found["decision"]["units"]
    assert (sum(counts.values()), declared["candidate"]) == (2_000, 0.1)
    assert found["decision"]["data"].startswith("snapshot:serving.predictions@")
    assert found["decided"] == []
    terms, began = found["decision"]["terms"], found["release"]["strategy_started_at"]
    assert (terms["minimum"], terms["answered"]) == (50, {"candidate": counts["candidate"]})
    lasts = datetime.fromisoformat(terms["deadline"]) - datetime.fromisoformat(began)
    assert lasts == timedelta(days=30)
    assert "falls back at " in shown


def test_a_decision_is_shown_and_made_again_from_its_record(shop, monkeypatch):
    with open_project(shop) as project:
        ask(project, 2_000, failing=0.5)
        assert advance(project.site, project.definition).action == "rollback"
    shown = " ".join(invoke(shop, "release").output.split())
    assert "canary, step 1: rollback; harm is shown: error rate " in shown
    assert "version 2 was rolled back at " in shown
    [decided] = json.loads(invoke(shop, "release", "--json").output)["decided"]
    assert decided["terms"]["minimum"] == 50
    assert decided["guardrails"][0]["evidence"]["variance"] > 0
    monkeypatch.chdir(shop)
    names: dict[str, Any] = {}
    exec(guide("releases").block("again"), names)
    assert names["decide_again"](names["decision"]) == names["decision"]


def test_a_sequence_is_drawn(shop):
    with pytest.raises(NotFoundError, match="version 2 has no answers to judge yet"):
        invoke(shop, "release", "plot")
    with open_project(shop) as project:
        ask(project, 2_000, failing=0.3)
        bring_in(project.site)
    drawn = invoke(shop, "release", "plot").output
    assert "●" in drawn
    assert "error rate of candidate minus champion" in drawn
    points = json.loads(invoke(shop, "release", "plot", "--guardrail", "latency", "--json").output)
    assert len(points) == 60
    known = [p["reading"] for p in points if p["reading"]["state"] != "no data"]
    width = [r["high"] - r["low"] for r in known]
    assert width[0] > width[-1]
    with pytest.raises(NotFoundError, match="did you mean 'latency'"):
        invoke(shop, "release", "plot", "--guardrail", "latncy")


def test_a_release_is_paused_resumed_aborted_and_that_is_the_end(shop):
    paused = invoke(shop, "release", "pause", "--reason", "a holiday").output
    assert "paused at 10 %" in paused
    assert "paused: a holiday" in invoke(shop, "release").output
    assert "goes on" in invoke(shop, "release", "resume").output
    ended = json.loads(invoke(shop, "release", "abort", "--reason", "calls", "--json").output)
    assert (ended["ended"], ended["reason"]) == ("rolledback", "calls")
    with pytest.raises(NotFoundError, match="version 2 was rolled back"):
        invoke(shop, "release", "plot")
    shown = " ".join(invoke(shop, "release").output.split())
    assert "version 2 was rolled back at " in shown
    assert shown.endswith(": calls")
    with pytest.raises(NotFoundError, match="version 2 was rolled back"):
        invoke(shop, "release", "promote")


def test_status_says_what_a_release_has_and_what_became_of_it(shop, monkeypatch):
    monkeypatch.setenv("ONWARD_USER", "ada")
    assert "version 2 has 10 % of the traffic, step 1" in invoke(shop, "status").output
    with open_project(shop) as project:
        release = current(project.ledger, "order_return")
        assert release is not None
        beside = replace(release, shares={release.step: {"champion": 100.0, "shadow": 0.0}})
    assert beside.standing == "version 2 answers beside the champion, as its shadow"
    invoke(shop, "release", "promote", "--reason", "reviewed")
    shown = invoke(shop, "status").output
    assert "version 2 was promoted at " in shown
    assert "taken back" not in shown
    assert "version 2 was taken back" in invoke(shop, "rollback", "--reason", "calls").output
    for asked in ("status", "release"):
        shown = " ".join(invoke(shop, asked).output.split())
        assert shown.index("version 2 was promoted at ") < shown.index("version 2 was taken back")
        assert "by ada, and version 1 serves again: calls" in shown
    found = json.loads(invoke(shop, "release", "--json").output)["release"]
    [reversion] = found["reversions"]
    assert (reversion["leaving"], reversion["returning"]) == (2, 1)
    assert (reversion["by"], reversion["reason"]) == ("ada", "calls")


def test_without_a_release_there_is_nothing_to_show(own_stock):
    with pytest.raises(NotFoundError, match="was released yet"):
        invoke(own_stock, "release")


def test_a_promotion_by_hand_waits_for_a_second_person(shop, monkeypatch):
    file = shop / "pipeline.py"
    file.write_text(file.read_text() + ACCESS)
    monkeypatch.setenv("ONWARD_USER", "eve")
    with pytest.raises(DeniedError, match="may not promote order_return"):
        invoke(shop, "release", "promote")
    monkeypatch.setenv("ONWARD_USER", "ada")
    with pytest.raises(DeniedError, match="needs the approval") as waits:
        invoke(shop, "release", "promote", "--reason", "reviewed")
    assert "promote order_return, version 2 (sha256:2" in str(waits.value)
    request = str(waits.value.next_step).split()[-1].strip("`")
    monkeypatch.setenv("ONWARD_USER", "bob")
    assert "promote order_return, version 2 (sha256:2" in invoke(shop, "approve").output
    [waiting] = json.loads(invoke(shop, "approve", "--json").output)
    assert (waiting["request"], waiting["state"]) == (request, "waits")
    assert waiting["images"] == [{"version": 2, "digest": "sha256:2"}]
    approved = invoke(shop, "approve", request).output
    assert "approved: ada may promote order_return, version 2 (sha256:2" in approved
    monkeypatch.setenv("ONWARD_USER", "ada")
    assert "its arm is champion" in invoke(shop, "release", "promote").output
    with open_project(shop) as project:
        release = current(project.ledger, "order_return")
        told = project.ledger.events(kind="release.ended", newest_first=True, limit=1)
    assert release is not None
    assert release.ended == "promoted"
    assert (told[0].event.facts["by"], told[0].event.facts["approved_by"]) == ("ada", "bob")


def test_what_holds_a_version_back_waits_for_nobody(shop, monkeypatch):
    file = shop / "pipeline.py"
    file.write_text(file.read_text() + ACCESS)
    monkeypatch.setenv("ONWARD_USER", "ada")
    assert "nobody has asked" in invoke(shop, "approve").output
    invoke(shop, "release", "pause")
    with pytest.raises(DeniedError, match="needs the approval") as waits:
        invoke(shop, "release", "promote")
    request = str(waits.value.next_step).split()[-1].strip("`")
    assert "was rolled back" in invoke(shop, "rollback").output
    monkeypatch.setenv("ONWARD_USER", "bob")
    [void] = json.loads(invoke(shop, "approve", "--json").output)
    assert void["state"] == "void"
    with pytest.raises(NotFoundError, match="neither serves nor is released any more"):
        invoke(shop, "approve", request)


def test_what_is_told_of_the_champions_answer_is_the_shadows_label_too(shop):
    with open_project(shop) as project:
        site, definition = project.site, project.definition
        release = current(project.ledger, "order_return")
        assert release is not None
        log = PredictionLog(site.folders.predictions, started_ns=9_000_000_000)
        at = int(datetime.now(UTC).timestamp() * 1e6)
        said: list[str] = []
        for arm, output in (("champion", 0.25), ("shadow", 0.5)):
            header = Header(
                model="order_return", version=2, image="sha256:2", release=release.ref, arm=arm,
                request=(), features=("f",), strings=(), width=1,
            )  # fmt: skip
            batch = Batch(
                header=0, at=[at, at, at, at + 1], unit=["a", "b", "b", "a"], status=[200] * 4,
                latency_us=[900] * 4, requests=[None] * 4, features=np.zeros(4).tobytes(),
                strings=None, output=np.full(4, output).tobytes(), errors=None,
            )  # fmt: skip
            [address] = log.append([(header, batch)], [])
            said = said or [f"{address}.{row:x}" for row in range(3)]
        told = Feedback(
            at=[1_000] * 3, model=["order_return"] * 3, prediction=said, name=["label"] * 3,
            value=[1.0, 1.0, 0.0],
        )  # fmt: skip
        log.append([], [told])
        log.close()
        found = observations(
            site, definition, bring_in(site), release.version, release.started_at
        ).to_pylist()
    lost = {
        arm: sorted((r["unit"], r["loss"]) for r in found if r["arm"] == arm and r["loss"])
        for arm in ("champion", "shadow")
    }
    assert lost["champion"] == [("a", 0.75**2), ("b", 0.25**2), ("b", 0.75**2)]
    assert lost["shadow"] == [("a", 0.25)], "which of b's answers it was told of, nobody knows"
    assert len(found) == 8


def test_feedback_is_the_reward_and_goes_before_the_sources_label(shop):
    with open_project(shop) as project:
        release = current(project.ledger, "order_return")
        assert release is not None
        early = release.started_at - timedelta(hours=20)  # the gateway's clock is wrong
        ids = ask(project, 60, at=early)
        log = PredictionLog(project.site.folders.predictions, started_ns=9_000_000_000)
        said: list[tuple[str, str, Any]] = [
            (ids[0], "reward", 0.5), (ids[0], "reward", 0.75), (ids[1], "label", 1.0),
        ]  # fmt: skip
        told = Feedback(
            at=[1_000 + i for i in range(3)],
            model=["order_return"] * 3,
            prediction=[p for p, _, _ in said],
            name=[n for _, n, _ in said],
            value=[v for _, _, v in said],
        )
        log.append([], [told])
        log.close()
        table = bring_in(project.site)
        found = observations(
            project.site, project.definition, table, release.version, release.started_at
        )
    assert found.num_rows == 60
    assert [r for r in found["reward"].to_pylist() if r is not None] == [0.75]
    assert [x for x in found["loss"].to_pylist() if x is not None] == [0.75**2]
    assert set(found["step"].to_pylist()) == {1}
