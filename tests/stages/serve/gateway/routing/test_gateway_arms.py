"""Arms in service: any number of them, and testers who choose theirs."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import trained_models as small
from gateway_site import routes_of, serving

from onward.core.records import ImageRef
from onward.stages.deploy.step import package
from onward.stages.serve.log.reader import find
from onward.stages.serve.routes import allot, write_routes

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


def test_only_the_audience_is_in_the_release(tmp_path, image):
    routes = replace(
        routes_of((image("plain"), 0.0), (image("better"), 100.0)),
        audience="amount > 20 and store != 's0'",
        beside="release:returns@1.2",
    )
    rows = small.rows(100, seed=8)
    features = {"name": "x", "shape": [1, 5], "datatype": "FP64", "data": [0, 0, 9, 0, 0]}
    with serving(tmp_path, routes) as site:
        entries = site.predict(rows).json()["predictions"]
        inferred = site.client.post(f"{MODEL}/infer", json={"inputs": [features]}).json()
        logged = [find(site.predictions, e["id"]) for e in entries]
        shown = site.routes()["returns"]["audience"]
        site_refuses = replace(routes, audience="amonut > 20")
        write_routes(site.folder / "routes", site_refuses)
        site.until(lambda: bool(site.routes()["returns"]["refused"]))
        reason = site.routes()["returns"]["refused"]
    assert shown == "amount > 20 and store != 's0'"
    within = [row["amount"] > 20 and row["store"] != "s0" for row in rows]
    assert 0 < sum(within) < 100
    for inside, entry, found in zip(within, entries, logged, strict=True):
        assert entry["arm"] == found.arm == ("candidate" if inside else "champion")
        assert found.release == ("candidate-release" if inside else "release:returns@1.2")
    assert inferred["parameters"]["arm"] == "champion"
    assert "there is no request column 'amonut'" in reason


def test_nobody_gets_a_candidate_before_it_is_loaded(tmp_path, image):
    """The candidate's load waits for a file; until then the champion answers for everybody."""
    gate = tmp_path / "gate"
    gate.touch()
    slow = package(
        small.train(tmp_path / "trained", small.Waiting(2.0, str(gate)), version=2),
        folder=tmp_path / "images",
    )
    gate.unlink()
    rows = small.rows(50, seed=9)
    with serving(tmp_path, routes_of((image("plain"), 100.0))) as site:
        version = write_routes(
            site.folder / "routes", routes_of((image("plain"), 50.0), (slow, 50.0))
        )
        site.until((tmp_path / "gate.waits").exists)
        before = site.predict(rows).json()["predictions"]
        assert site.routes()["returns"]["version"] != version
        gate.touch()
        site.until(lambda: site.routes()["returns"]["version"] == version)
        after = site.predict(rows).json()["predictions"]
    assert {e["arm"] for e in before} == {"champion"}
    assert {e["arm"] for e in after} == {"champion", "candidate"}
