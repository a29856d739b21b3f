"""Models of several classes, by whatever names: what production says of them, by hand and by us."""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from onward.app.gateway.calling import calling
from onward.app.gateway.serving import serving
from onward.app.project import Project, open_project
from onward.core.clock import ReplayClock
from onward.flow.release.loop import advance
from onward.flow.release.observe import bring_in, observations
from onward.flow.release.releases import champion, current
from onward.flow.release.replay import answered
from onward.flow.run.runs import request
from onward.flow.run.watch import watch
from onward.stages.deploy.config import replayed
from onward.surfaces.cli.commands import cli

MODEL = "order_return"
START = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
NEVER_SEEN = {"kept": "lost", 3: 11}
CHANGES = {
    "returns=_.returned.mean()": "items=_.items.mean()",
    'task="binary"': 'task="multiclass"',
    'gates=[ow.at_least("roc_auc", 0.6), ow.beats_champion("roc_auc", margin=-0.05)]':
        'gates=[ow.at_least("accuracy", 0.4)]',
    'Canary(steps=[10, 50], bake="1s", minimum=50, deadline="30d")':
        'Canary(steps=[50], bake="1s", minimum=50, deadline="30d", '
        "guardrails=ow.Guardrails("
        "max_loss_increase=0.02, max_error_increase=None, max_latency_increase=None))",
    '    search={"c": ow.real(0.01, 10, log=True)},\n': "",
    'ow.performance("roc_auc")':
        'ow.performance("accuracy", at_least=0.1, minimum=50), '
        'ow.performance("log_loss", at_least=9.0, minimum=50)',
}  # fmt: skip


def sell(shop: Path, name: str, classes: Sequence[Any], *, rows: int, at: datetime, turned: int):
    """Write orders of a day each hour; what becomes of one follows its price, turned about."""
    chance = random.Random(name)
    columns = ["order_id", "ordered_at", "recorded_at", "customer", "amount", "items", "returned"]
    sold = []
    for n in range(rows):
        when = at + n * timedelta(minutes=20)
        kind = chance.randrange(3)
        became = (kind + turned) % 3 if chance.random() < 0.9 else chance.randrange(3)
        sold.append(
            [f"{name}-{n}", when.isoformat(), (when + DAY).isoformat(),
             f"c{n % 5}", round(10 + 20 * kind + chance.random() * 5, 2), 1,
             classes[became]]
        )  # fmt: skip
    with (shop / "data" / "orders" / f"{name}.csv").open("w", newline="") as file:
        csv.writer(file).writerows([columns, *sold])
    return [dict(zip(columns, row, strict=True)) for row in sold]


def loss(output: Sequence[float], place: int | None) -> float:
    """Half the squared error of the probabilities; a class that is not known has one of 0."""
    truth = np.zeros(len(output) + 1)
    truth[-1 if place is None else place] = 1
    return float(((np.array([*output, 0.0]) - truth) ** 2).sum() / 2)


@pytest.mark.parametrize("classes", [("kept", "swapped", "back"), (3, 7, 9)])
def test_a_canary_of_named_classes_is_judged_by_their_labels(
    tmp_path: Path, shops: Callable[[Path], Path], classes: tuple[Any, ...]
) -> None:
    shop = shops(tmp_path / "shop")
    text = (shop / "pipeline.py").read_text()
    for old, new in CHANGES.items():
        assert old in text
        text = text.replace(old, new)
    (shop / "pipeline.py").write_text(text)
    sell(shop, "first", classes, rows=240, at=START, turned=0)
    clock = ReplayClock(START + 6 * DAY)
    with open_project(shop, clock=clock) as project:
        first = project.run()
        assert first is not None
        assert first.state == "promoted"
        sell(shop, "second", classes, rows=720, at=START + 6 * DAY, turned=1)
        clock.advance(START + 18 * DAY)
        second = project.run()
        assert second is not None
        assert second.state == "released", second.reason
        _traffic(project, clock, shop, classes)


def _traffic(project: Project, clock: ReplayClock, shop: Path, classes: tuple[Any, ...]) -> None:
    sold = sell(shop, "third", classes, rows=300, at=clock.now(), turned=1)
    (shop / "data" / "orders" / "third.csv").rename(shop / "later.csv")
    truth = {row["order_id"]: row["returned"] for row in sold}
    answers = _asked(project, clock, sold)
    assert {a["version"] for a in answers} == {1, 2}
    told = {a["unit"]: truth[a["unit"]] for a in answers[:150]}
    told[answers[0]["unit"]] = NEVER_SEEN[classes[0]]
    said = [{"prediction": a["id"], "value": told[a["unit"]]} for a in answers[:150]]
    with serving(project.settings, port=0), calling(project.settings, MODEL) as client:
        client.tell(said)
    by_rows = [row for row in sold if row["order_id"] not in told]
    with (shop / "data" / "orders" / "third.csv").open("w", newline="") as file:
        csv.writer(file).writerows([list(sold[0]), *(list(row.values()) for row in by_rows)])
    clock.advance(clock.now() + 6 * DAY)
    project.deliver(request(project.site, "labels", train=False))

    known = sorted(classes)
    place = {value: n for n, value in enumerate(known)}
    became = {unit: place.get(value) for unit, value in {**truth, **told}.items()}
    expected = {a["unit"]: loss(a["output"], became[a["unit"]]) for a in answers}
    release = current(project.ledger, MODEL)
    assert release is not None
    site, definition = project.site, project.definition
    seen = observations(site, definition, bring_in(site), release.version, release.started_at)
    found = dict(zip(seen["unit"].to_pylist(), seen["loss"].to_pylist(), strict=True))
    assert found == pytest.approx(expected)

    _watched(project, answers, became)
    serving_now = champion(project.ledger, MODEL)
    assert serving_now is not None
    past = answered(site, MODEL, replayed(window="30d"))
    likeliest = {a["unit"]: str(known[int(np.argmax(a["output"]))]) for a in answers}
    assert past
    assert all(one.output == likeliest[one.request["order_id"]] for one in past)
    decision = advance(site, definition)
    assert decision is not None
    assert decision.action == "promote", decision.reason
    [reading] = [r for r in decision.guardrails if r.name == "loss"]
    assert reading.high is not None
    assert reading.high < 0
    _shown(shop, answers[0], likeliest[answers[0]["unit"]], sold[0])


def _shown(shop: Path, answer: Mapping[str, Any], likeliest: str, sold: Mapping[str, Any]) -> None:
    """Hold what the command line says of one prediction, and of the like, against its answer."""

    def said(*words: str) -> str:
        return CliRunner().invoke(cli, [*words, "--project", str(shop)]).output

    assert f"output     {likeliest} " in said("predictions", answer["id"])
    found = json.loads(said("predictions", answer["id"], "--json"))
    assert list(found["output"].values()) == answer["output"]
    assert max(found["output"], key=found["output"].get) == likeliest
    [listed] = json.loads(said("predictions", "--unit", answer["unit"], "--json"))
    assert listed["output"] == found["output"]
    row = json.dumps({name: sold[name] for name in ("order_id", "customer", "amount", "items")})
    told = [pair.split() for pair in said("predict", row).split("  version")[0].split(", ")]
    assert {name for name, _ in told} == set(found["output"])
    figures = [float(figure) for _, figure in told]
    assert figures == sorted(figures, reverse=True)


def _asked(project: Project, clock: ReplayClock, sold: Sequence[Mapping[str, Any]]) -> list[Any]:
    names = ("order_id", "customer", "amount", "items")
    rows = [{name: row[name] for name in names} for row in sold]
    headers = {"onward-event-time": clock.now().isoformat()}
    import httpx

    with serving(project.settings, clock="request", port=0) as gateway:
        answer = httpx.post(
            f"{gateway.url}/v2/models/{MODEL}/predict", json={"rows": rows}, headers=headers
        )
    found = answer.json()["predictions"]
    assert {tuple(a["output"]) for a in found} == {
        tuple(sorted({str(r["returned"]) for r in sold}))
    }
    return [{**a, "output": list(a["output"].values())} for a in found]


def _watched(project: Project, answers: Sequence[Any], became: Mapping[str, int | None]) -> None:
    """Hold the monitor's figures against the champion's answers, however their labels came."""
    mine = [a for a in answers if a["version"] == 1]
    output = np.array([[*a["output"], 0.0] for a in mine])
    index = np.array([3 if became[a["unit"]] is None else became[a["unit"]] for a in mine])
    report, _ = watch(project.site, project.definition)
    assert report.labelled == len(mine)
    readings = {r.subject: r.value for r in report.results if r.monitor == "performance"}
    assert readings["accuracy"] == pytest.approx((output.argmax(1) == index).mean())
    likelihood = output[range(len(mine)), index]
    assert readings["log_loss"] == pytest.approx(
        -np.log(likelihood.clip(np.finfo(float).eps)).mean()
    )
