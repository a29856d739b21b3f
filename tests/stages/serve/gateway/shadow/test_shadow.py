"""Shadows: what the champion answered is answered again, by a process that nobody waits for."""

from __future__ import annotations

import os
import resource
import signal
from dataclasses import replace
from pathlib import Path

import trained_models as small
from gateway_site import Site, routes_of, serving

from onward.core.records import Column, ImageRef, Prediction, Route, Routes
from onward.stages.deploy.step import package
from onward.stages.serve.log.reader import read

MODEL = "/v2/models/returns"

BEHIND = 'onward_shadow_behind_seconds{model="returns"}'
ANSWERED = 'onward_shadow_rows_total{model="returns",outcome="answered"}'
PASSED_OVER = 'onward_shadow_rows_total{model="returns",outcome="passed_over"}'


def shadowed(champion: ImageRef, shadow: ImageRef, release: str = "release:returns@2.1") -> Routes:
    routes = routes_of((champion, 100.0))
    arms = (
        replace(routes.routes[0], release=release),
        Route(arm="shadow", image=shadow, percent=0.0, release=release),
    )
    return replace(routes, routes=arms)


def answered(site: Site, arm: str) -> list[Prediction]:
    return [p for p in read(site.predictions)[0] if p.arm == arm]


def shadow_pid(site: Site) -> int:
    """The process that holds the shadow's lock."""
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = place.read_bytes()
        except OSError:
            continue
        if b"gateway.shadow.process" in words and str(site.folder).encode() in words:
            return int(place.parent.name)
    return 0


def told(site: Site, name: str) -> float:
    """What the metrics say of the model's shadow."""
    lines = site.client.get("/metrics").text.splitlines()
    [line] = [line for line in lines if line.startswith(name)]
    return float(line.rpartition(" ")[2])


def test_a_shadow_answers_the_same_rows_and_nobody_gets_its_answers(tmp_path, image):
    rows = small.rows(300, seed=41)
    features = {"name": "x", "shape": [1, 5], "datatype": "FP64", "data": [1, 0, 9, 1, 2]}
    with serving(tmp_path, shadowed(image("plain"), image("better"))) as site:
        entries = site.predict(rows).json()["predictions"]
        inferred = site.client.post(f"{MODEL}/infer", json={"inputs": [features], "id": "i-1"})
        site.client.post(f"{MODEL}/versions/1/predict", json={"rows": rows[:5]})
        site.until(lambda: len(answered(site, "shadow")) >= 301, 60)
        again = site.client.post(
            f"{MODEL}/predict", json={"rows": rows[:1]}, headers={"onward-arm": "shadow"}
        )
        mirrored, champion = answered(site, "shadow"), answered(site, "champion")
        site.until(lambda: told(site, ANSWERED) == 301)
        site.serve(routes_of((image("plain"), 100.0)))
        site.until(lambda: not shadow_pid(site))
    assert {e["arm"] for e in entries} == {"champion"}
    assert inferred.json()["parameters"]["arm"] == "champion"
    assert {(p.version, p.status, p.release) for p in mirrored} == {(2, 200, "release:returns@2.1")}
    assert sorted((p.unit, p.at) for p in mirrored) == sorted((p.unit, p.at) for p in champion)
    outputs = {p.unit: p for p in champion}
    for p in mirrored:
        assert p.features == outputs[p.unit].features
        assert p.output != outputs[p.unit].output
    direct = again.json()["predictions"][0]
    assert (direct["arm"], direct["version"]) == ("override", 2)


def test_a_killed_shadow_goes_on_where_it_was_and_the_champion_does_not_notice(tmp_path, image):
    rows = small.rows(400, seed=42)
    with serving(tmp_path, shadowed(image("plain"), image("brittle"))) as site:
        rows[7]["amount"] = 9_999.0  # the brittle one fails at it
        site.predict(rows[:200])
        site.until(lambda: len(answered(site, "shadow")) >= 200, 60)
        killed = shadow_pid(site)
        assert os.sched_getscheduler(killed) == os.SCHED_IDLE
        os.kill(killed, signal.SIGKILL)
        assert site.predict(rows[200:]).status_code == 200
        site.until(lambda: len(answered(site, "shadow")) >= 400, 60)
        assert shadow_pid(site) not in (0, killed)
        mirrored = answered(site, "shadow")
    assert {p.unit for p in mirrored} == {row["order_id"] for row in rows}
    failed = [p for p in mirrored if p.status != 200]
    assert {p.unit for p in failed} == {rows[7]["order_id"]}
    assert "cannot bear large amounts" in (failed[0].error or "")


def test_a_shadow_whose_log_cannot_be_written_is_behind_until_it_can(tmp_path, image):
    rows = small.rows(400, seed=44)
    with serving(tmp_path, shadowed(image("plain"), image("better"))) as site:
        site.predict(rows[:200])
        site.until(lambda: len(answered(site, "shadow")) >= 200, 60)
        shadow, unlimited = shadow_pid(site), resource.RLIM_INFINITY
        resource.prlimit(shadow, resource.RLIMIT_FSIZE, (4_096, unlimited))  # less than a batch
        site.predict(rows[200:])
        site.until(lambda: told(site, BEHIND) > 2.0)
        while_full = answered(site, "shadow")
        resource.prlimit(shadow, resource.RLIMIT_FSIZE, (unlimited, unlimited))
        site.until(lambda: len(answered(site, "shadow")) >= 400, 60)
        site.until(lambda: told(site, ANSWERED) == 400 and told(site, BEHIND) < 2.0)
        assert shadow_pid(site) == shadow
        mirrored = answered(site, "shadow")
    assert len(while_full) == 200
    assert sorted(p.unit for p in mirrored) == sorted(row["order_id"] for row in rows)


def test_a_shadow_gets_columns_that_the_champion_does_not_read(tmp_path, image):
    coupon = Column(name="coupon", dtype="string")
    bought = Column(name="bought", dtype="date32[day]")
    order = small.PLAN.columns[::-1]  # so that what comes as features is of no use to it
    plan = replace(small.PLAN, request=(coupon, *small.PLAN.request, bought), columns=order)
    trained = small.train(tmp_path / "trained", small.Linear(1.0), version=2, plan=plan)
    wider = package(trained, folder=tmp_path / "images")
    rows = small.rows(40, seed=43)
    sent = [
        row | ({"coupon": f"c{n}", "bought": "2026-01-02"} if n % 2 else {})
        for n, row in enumerate(rows)
    ]
    features = {"name": "x", "shape": [2, 5], "datatype": "FP64", "data": [1, 0, 9, 1, 2] * 2}
    with serving(tmp_path, shadowed(image("plain"), wider)) as site:
        site.client.post(f"{MODEL}/infer", json={"inputs": [features]})
        answer = site.predict(sent)
        site.until(lambda: len(answered(site, "shadow")) >= 40, 60)
        mirrored = {p.unit: p for p in answered(site, "shadow")}
        site.until(lambda: told(site, PASSED_OVER) == 2)
    assert {e["arm"] for e in answer.json()["predictions"]} == {"champion"}
    assert {p.status for p in mirrored.values()} == {200}
    for n, row in enumerate(rows):
        request = mirrored[row["order_id"]].request
        assert request["coupon"] == (f"c{n}" if n % 2 else None)
        assert request["bought"] == ("2026-01-02" if n % 2 else None)
