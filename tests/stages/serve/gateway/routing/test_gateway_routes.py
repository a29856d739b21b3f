"""Routes live: who gets which arm, and changes under load."""

from __future__ import annotations

import contextlib
import json
import socket
from collections import Counter
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import trained_models as small
from gateway_load import MODEL, Load
from gateway_site import routes_of, serving

from onward.core.records import Column, ImageRef
from onward.stages.deploy.step import package
from onward.stages.serve.log.reader import find, read
from onward.stages.serve.routes import bucket, write_routes


def test_units_keep_their_arm_and_hot_swaps_drop_nothing(tmp_path, image):
    plain, better = image("plain"), image("better")
    with serving(tmp_path, routes_of((plain, 100.0))) as site, Load(site) as load:
        for percent in (20.0, 60.0):
            load.until(more=60)
            site.route((plain, 100 - percent), (better, percent))
        load.until(more=60)
        site.route((better, 100.0))
        mark = len(load.answers)
        load.until(more=60)
    assert load.failures == []
    assert {status for status, _ in load.answers} == {200}
    by_unit: dict[str, list[int]] = {}
    for _, entry in load.answers:
        by_unit.setdefault(entry["unit"], []).append(entry["version"])
    assert all(versions == sorted(versions) for versions in by_unit.values())
    late = Counter(entry["version"] for _, entry in load.answers[mark:])
    assert late[1] <= 4  # what each caller had not yet read
    assert late.keys() <= {1, 2}
    assert late[2] > 50
    ids = [entry["id"] for _, entry in load.answers]
    logged = {p.id: p for p in read(site.predictions)[0]}
    assert len(set(ids)) == len(ids)
    assert set(ids) <= logged.keys()


def test_the_arm_is_a_function_of_salt_and_unit(tmp_path, image):
    arms = (image("plain"), 70.0), (image("better"), 30.0)
    rows = small.rows(300, seed=11)
    with serving(tmp_path, routes_of(*arms)) as site:
        entries = site.predict(rows).json()["predictions"]
        again = site.predict(rows[::-1]).json()["predictions"][::-1]
    for entry, other in zip(entries, again, strict=True):
        low = bucket("salt", entry["unit"]) < 7_000
        assert entry["arm"] == other["arm"] == ("champion" if low else "candidate")
        assert entry["version"] == (1 if low else 2)
    assert 50 < sum(e["arm"] == "candidate" for e in entries) < 130


def test_a_candidate_that_raises_fails_its_own_requests_only(tmp_path, image):
    arms = (image("plain"), 50.0), (image("brittle"), 50.0)
    rows = [row | {"amount": 9_999.0} for row in small.rows(60, seed=12)]
    with serving(tmp_path, routes_of(*arms)) as site:
        mixed = site.predict(rows)
        alone = [site.predict([row]) for row in rows]
        version = site.client.post(f"{MODEL}/versions/2/predict", json={"rows": rows[:2]})
        features = {"name": "x", "shape": [1, 5], "datatype": "FP64", "data": [0, 0, 9e9, 0, 0]}
        direct = site.client.post(f"{MODEL}/versions/2/infer", json={"inputs": [features]})
        predictions = site.predictions
    assert mixed.status_code == 200
    for row, answer, entry in zip(rows, alone, mixed.json()["predictions"], strict=True):
        candidate = bucket("salt", row["order_id"]) >= 5_000
        assert answer.status_code == (500 if candidate else 200)
        assert ("error" in entry) is candidate
        logged = find(predictions, entry["id"])
        assert logged.status == (500 if candidate else 200)
        assert logged.arm == ("candidate" if candidate else "champion")
        if candidate:
            assert "cannot bear large amounts" in (logged.error or "")
            assert logged.features["amount"] == 9_999.0
    assert Counter(a.status_code for a in alone).keys() == {200, 500}
    assert version.status_code == direct.status_code == 500
    assert version.json()["predictions"][0]["arm"] == "direct"
    assert "ZeroDivisionError" in direct.json()["error"]


def test_one_bad_caller_in_the_tick_does_not_spoil_another(tmp_path, image):
    """Both rows reach the brittle champion in one tick: they come in one TCP segment."""
    rows = small.rows(2, seed=3)
    rows[0]["amount"] = 9_999.0
    bodies = [json.dumps({"rows": [row]}).encode() for row in rows]
    data = b"".join(
        b"POST %b/predict HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b" % (MODEL.encode(), len(b), b)
        for b in bodies
    )
    with serving(tmp_path, routes_of((image("brittle"), 100.0))) as site:
        parts = urlsplit(site.server.url)
        with socket.create_connection((parts.hostname, parts.port), timeout=10) as sock:
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
            received = b""
            while chunk := sock.recv(65_536):
                received += chunk
    heads = [part.split(b"\r\n")[0] for part in received.split(b"HTTP/1.1 ")[1:]]
    assert heads == [b"500 Internal Server Error", b"200 OK"]


def corrupt(folder: Path, image: ImageRef) -> ImageRef:
    """Return a copy of an image with one byte of its model's layer flipped."""
    import shutil

    layout = folder / "corrupt"
    shutil.copytree(image.layout, layout)
    blobs = layout / "blobs" / "sha256"
    manifest = json.loads((blobs / image.digest.removeprefix("sha256:")).read_bytes())
    blob = blobs / manifest["layers"][-1]["digest"].removeprefix("sha256:")
    data = bytearray(blob.read_bytes())
    data[len(data) // 2] ^= 1
    blob.write_bytes(data)
    return replace(image, layout=str(layout))


@pytest.mark.parametrize("kind", ["routes", "image", "version"])
def test_what_cannot_be_served_is_refused_and_the_old_keeps_serving(tmp_path, image, kind):
    plain, better = image("plain"), image("better")
    with serving(tmp_path, routes_of((plain, 100.0))) as site, Load(site, callers=2) as load:
        if kind == "routes":
            (tmp_path / "routes" / "returns.json").write_text("{")
            of = None
        elif kind == "image":
            of = write_routes(tmp_path / "routes", routes_of((corrupt(tmp_path, better), 100.0)))
        else:
            wrong = replace(better, model=replace(better.model, version=9))
            of = write_routes(tmp_path / "routes", routes_of((wrong, 100.0)))
        before = site.routes()["returns"]["version"]
        site.until(lambda: bool(site.routes()["returns"]["refused"]))
        assert site.routes()["returns"]["version"] == before
        assert site.routes()["returns"]["refused_version"] == of
        load.until(more=20)
        metrics = site.client.get("/metrics").text
        assert 'onward_routes_refused{model="returns"} 1' in metrics
        assert "serving as before" in (tmp_path / "state/gateway.log").read_text()
        site.route((better, 100.0))
        assert site.routes()["returns"]["refused"] is None
        assert site.routes()["returns"]["refused_version"] is None
        load.until(more=20)
    assert load.failures == []
    assert {status for status, _ in load.answers} == {200}
    assert load.answers[-1][1]["version"] == 2


def test_models_come_and_go(tmp_path, image):
    with serving(tmp_path) as site:
        assert site.client.get("/v2/health/ready").status_code == 200
        assert site.predict(small.rows(1)).status_code == 404
        site.route((image("plain"), 100.0))
        assert site.predict(small.rows(1)).status_code == 200
        (tmp_path / "routes" / "returns.json").unlink()
        site.until(lambda: not site.routes())
        assert site.predict(small.rows(1)).status_code == 404
        misnamed = tmp_path / "routes" / "other.json"
        write_routes(tmp_path / "routes", routes_of((image("plain"), 100.0)))
        (tmp_path / "routes" / "returns.json").rename(misnamed)
        site.until(lambda: "other" in site.routes())
        assert site.routes()["other"]["version"] is None
        assert "holds the routes of 'returns'" in site.routes()["other"]["refused"]


def test_a_candidate_with_other_features_gets_rows_but_not_tensors(tmp_path, image):
    plain = image("plain")
    named = small.train(
        tmp_path / "trained", small.Named(1.0), name="returns", version=2, plan=small.TEXT_PLAN
    )
    renamed = package(named, folder=tmp_path / "images")
    rows = small.rows(60, seed=21)
    tensor = {"name": "x", "shape": [1, 5], "datatype": "FP64", "data": [1.0] * 5}
    with serving(tmp_path, routes_of((plain, 50.0), (renamed, 50.0))) as site:
        arms = {e["arm"] for e in site.predict(rows).json()["predictions"]}
        infer = [
            site.client.post(f"{MODEL}/infer", json={"id": f"i{i}", "inputs": [tensor]}).json()
            for i in range(20)
        ]
    assert arms == {"champion", "candidate"}
    assert {a["parameters"]["arm"] for a in infer} == {"champion", "direct"}
    assert {a["model_version"] for a in infer} == {"1"}


def test_a_replay_takes_its_time_from_the_request(tmp_path, image):
    [row] = small.rows(1)
    row["store"] = "s1"
    with serving(tmp_path, routes_of((image("plain"), 100.0)), clock="request") as site:
        refused = site.predict([row])
        entries = []
        for at in ("2999-03-01T12:00:00+00:00", "2000-01-01T00:00:00"):
            answer = site.client.post(
                f"{MODEL}/predict", json={"rows": [row]}, headers={"onward-event-time": at}
            )
            entries += answer.json()["predictions"]
        stale, before = (find(site.predictions, e["id"]) for e in entries)
    assert refused.status_code == 400
    assert "onward-event-time" in refused.json()["error"]
    assert stale.at.isoformat() == "2999-03-01T12:00:00+00:00"
    assert stale.features["stores__rate"] is None
    assert before.at.isoformat() == "2000-01-01T00:00:00+00:00"


def test_a_column_that_only_the_candidate_reads_is_asked_of_its_units(tmp_path, image):
    coupon = Column(name="coupon", dtype="string")
    plan = replace(small.PLAN, request=(*small.PLAN.request, coupon))
    trained = small.train(tmp_path / "trained", small.Linear(1.0), version=2, plan=plan)
    wider = package(trained, folder=tmp_path / "images")
    rows = small.rows(40, seed=31)
    with serving(tmp_path, routes_of((image("plain"), 50.0), (wider, 50.0))) as site:
        without = [site.predict([row]) for row in rows]
        given = [site.predict([row | {"coupon": None}]) for row in rows]
    assert {a.status_code for a in given} == {200}
    for row, answer in zip(rows, without, strict=True):
        candidate = bucket("salt", row["order_id"]) >= 5_000
        assert answer.status_code == (400 if candidate else 200)
        if candidate:
            assert "'coupon' is missing, which version 2 reads" in answer.json()["error"]


def test_a_model_that_gives_no_number_has_failed(tmp_path, image):
    """NaN is no prediction: the row gets 500 and is logged so."""
    nan = {"name": "x", "shape": [1, 5], "datatype": "FP64", "data": [0, 0, 7, 0, 0]}
    trained = small.train(tmp_path / "trained", small.Absent(), task="regression")
    absent = package(trained, folder=tmp_path / "images")
    with serving(tmp_path, routes_of((absent, 100.0))) as site:
        answer = site.client.post(f"{MODEL}/infer", json={"inputs": [nan]})
    assert answer.status_code == 500
    assert "NaN" in answer.json()["error"]


def test_a_client_that_does_not_read_stops_being_read(tmp_path, image):
    """Its answers wait in bounded buffers, others are served meanwhile, and none is lost."""
    request = b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n"
    data = memoryview(request * 600_000)
    with serving(tmp_path, routes_of((image("plain"), 100.0))) as site:
        parts = urlsplit(site.server.url)
        with socket.create_connection((parts.hostname, parts.port), timeout=1) as sock:
            sent = send_what_fits(sock, data)
            assert sent < len(data)
            assert site.predict(small.rows(1)).status_code == 200
            sock.settimeout(60)
            sock.shutdown(socket.SHUT_WR)
            received = b"".join(iter(lambda: sock.recv(1 << 20), b""))
    assert received.count(b"HTTP/1.1 200 OK") == sent // len(request)


def send_what_fits(sock: socket.socket, data: memoryview) -> int:
    """Send until the other side has not read for as long as the socket's timeout."""
    sent = 0
    with contextlib.suppress(TimeoutError):
        while sent < len(data):
            sent += sock.send(data[sent : sent + 65_536])
    return sent
