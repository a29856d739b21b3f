"""Arms in service: any number of them, and testers who choose theirs."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import trained_models as small
from gateway_site import routes_of, serving

from onward.core.records import ImageRef
from onward.stages.deploy.step import package
from onward.stages.serve.log.reader import find
from onward.stages.serve.routes import allot

MODEL = "/v2/models/returns"


def third(folder) -> ImageRef:
    trained = small.train(folder / "trained", small.Linear(2.0), version=3)
    return package(trained, folder=folder / "images")


def test_three_arms_share_the_units_and_a_growing_one_takes_from_the_champion(tmp_path, image):
    arms = [image("plain"), image("better"), third(tmp_path)]
    rows = small.rows(400, seed=5)
    with serving(tmp_path, routes_of(*zip(arms, (60.0, 30.0, 10.0), strict=True))) as site:
        before = site.predict(rows).json()["predictions"]
        shown = site.routes()["returns"]["routes"]
        grown = routes_of(*zip(arms, (40.0, 50.0, 10.0), strict=True))
        spans = allot(
            allot({}, {"champion": 60, "candidate": 30, "v3": 10}),
            {"champion": 40, "candidate": 50, "v3": 10},
        )
        site.serve(replace(grown, routes=[replace(r, buckets=spans[r.arm]) for r in grown.routes]))
        after = site.predict(rows).json()["predictions"]
    assert {r["arm"]: (r["percent"], r["served"], r["version"]) for r in shown} == {
        "champion": (60.0, 60.0, 1),
        "candidate": (30.0, 30.0, 2),
        "v3": (10.0, 10.0, 3),
    }
    versions = {"champion": 1, "candidate": 2, "v3": 3}
    assert all(e["version"] == versions[e["arm"]] for e in [*before, *after])
    moves = {(old["arm"], new["arm"]) for old, new in zip(before, after, strict=True)}
    assert moves == {*zip(versions, versions, strict=True), ("champion", "candidate")}
    counts = Counter(e["arm"] for e in before)
    assert 200 < counts["champion"] < 280
    assert 20 < counts["v3"] < 65


def test_a_tester_chooses_an_arm_and_is_left_out_of_the_comparison(tmp_path, image):
    rows = small.rows(20, seed=6)
    with serving(tmp_path, routes_of((image("plain"), 100.0), (image("better"), 0.0))) as site:
        plain = site.predict(rows).json()["predictions"]
        answer = site.client.post(
            f"{MODEL}/predict", json={"rows": rows}, headers={"onward-arm": "candidate"}
        )
        features = {"name": "x", "shape": [1, 5], "datatype": "FP64", "data": [0, 0, 9, 0, 0]}
        inferred = site.client.post(
            f"{MODEL}/infer", json={"inputs": [features]}, headers={"Onward-Arm": "candidate"}
        ).json()
        mistyped = site.client.post(
            f"{MODEL}/predict", json={"rows": rows}, headers={"onward-arm": "canditate"}
        )
        chosen = answer.json()["predictions"]
        logged = find(site.predictions, chosen[0]["id"])
    assert {e["arm"] for e in plain} == {"champion"}
    assert {(e["arm"], e["version"]) for e in chosen} == {("override", 2)}
    assert (logged.arm, logged.version) == ("override", 2)
    assert (inferred["parameters"]["arm"], inferred["model_version"]) == ("override", "2")
    assert mistyped.status_code == 400
    assert "onward-arm: there is no arm 'canditate'" in mistyped.json()["error"]
