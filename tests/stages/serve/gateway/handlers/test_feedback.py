"""Feedback by prediction id: durable, of this model only, in the order of the connection."""

from __future__ import annotations

import json
import socket
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import trained_models as small
from gateway_site import routes_of, serving

from onward.stages.serve.log.reader import read_span
from onward.stages.serve.log.segment import PRUNED

MODEL = "/v2/models/returns"


def predicted(site: Any, n: int = 2, model: str = "returns") -> list[str]:
    return [p["id"] for p in site.predict(small.rows(n), model).json()["predictions"]]


def tell(site: Any, *statements: Any, model: str = "returns") -> httpx.Response:
    return site.client.post(f"/v2/models/{model}/feedback", json={"feedback": list(statements)})


def told(site: Any) -> list[tuple[str, str, str, Any]]:
    """Return what the log holds: model, prediction, name, value."""
    return [
        row
        for each in read_span(site.predictions).feedback
        for row in zip(
            each.feedback.model, each.feedback.prediction, each.feedback.name,
            each.feedback.value, strict=True,
        )
    ]  # fmt: skip


def test_statements_are_logged_before_they_are_answered(site):
    first, second = predicted(site)
    answer = tell(
        site,
        {"prediction": first, "value": 1},
        {"prediction": f"prediction:{second}", "value": 2.5, "name": "reward"},
        {"prediction": first, "value": True, "name": "clicked"},
        {"prediction": first, "value": "late", "name": "why"},
    )
    assert answer.status_code == 200
    body = answer.json()
    assert body["model"] == "returns"
    assert [(f["prediction"], f["name"]) for f in body["feedback"]] == [
        (first, "label"), (second, "reward"), (first, "clicked"), (first, "why"),
    ]  # fmt: skip
    assert len({f["id"] for f in body["feedback"]}) == 4
    assert told(site)[-4:] == [
        ("returns", first, "label", 1.0), ("returns", second, "reward", 2.5),
        ("returns", first, "clicked", True), ("returns", first, "why", "late"),
    ]  # fmt: skip


def test_what_is_no_prediction_of_the_model_is_refused_whole(site):
    [mine], [other] = predicted(site, 1), predicted(site, 1, "pricer")
    before = told(site)
    writer, segment, offset, _ = mine.split(".")
    for wrong, reason in (
        (other, "is a prediction of 'pricer'"),
        (f"{writer}.{segment}.{offset}.7", "is no prediction"),
        (f"{writer}.{segment}.{int(offset, 16) + 3:x}.0", "is no prediction"),
        (f"{writer}.{segment}.ffffff.0", "is no prediction"),
        ("unlogged", "is no prediction"),
        ("../../etc.0.0.0", "is no prediction"),
        (f"{writer}.{segment}.{offset}.-1", "is no prediction"),
    ):
        answer = tell(site, {"prediction": mine, "value": 1}, {"prediction": wrong, "value": 1})
        assert answer.status_code == 404
        assert reason in answer.json()["error"]
        assert "nothing was taken" in answer.json()["error"]
    assert told(site) == before


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400), ({"feedback": []}, 400), ({"feedback": [{"prediction": "a"}]}, 400),
        ({"feedback": [{"prediction": "a", "value": [1]}]}, 400),
        ({"feedback": [{"prediction": "a", "value": 1, "name": "Bad name"}]}, 400),
        ({"feedback": [{"prediction": "a", "value": 1, "lable": 2}]}, 400),
        ({"feedback": [{"prediction": "a", "value": 1}] * 10_001}, 413),
    ],
)  # fmt: skip
def test_what_is_no_feedback_is_refused(site, body, status):
    answer = site.client.post(f"{MODEL}/feedback", json=body)
    assert answer.status_code == status
    assert answer.json()["error"]


@pytest.mark.parametrize(
    ("model", "name", "value", "expected"),
    [
        ("returns", "label", "maybe", "0, 1, true or false"),
        ("returns", "label", 2, "0, 1, true or false"),
        ("returns", "label", "1", "0, 1, true or false"),
        ("returns", "reward", "much", "a number"),
        ("pricer", "label", "dear", "a number"),
        ("pricer", "label", True, "a number"),
        ("sorter", "label", 1, "a class, as text, such as large, medium, small"),
    ],
)
def test_a_label_that_is_none_of_the_models_is_refused(site, model, name, value, expected):
    [about] = predicted(site, 1, model)
    before = told(site)
    fine = {"prediction": about, "value": "any", "name": "why"}
    wrong = {"prediction": about, "value": value, "name": name}
    answer = tell(site, fine, wrong, wrong, model=model)
    assert answer.status_code == 400
    said = f"{json.dumps(value)} is no {name} of model {model!r}, told of {about!r}; nothing was"
    assert answer.json()["error"].startswith(said)
    assert answer.json()["error"].endswith(f"expected: {expected}")
    assert told(site) == before


@pytest.mark.parametrize(
    ("model", "values"),
    [("returns", [0, 1.0, True, False]), ("pricer", [1, -2.5]), ("sorter", ["small", "huge"])],
)
def test_a_label_of_the_models_kind_is_taken(site, model, values):
    [about] = predicted(site, 1, model)
    for value in values:
        assert tell(site, {"prediction": about, "value": value}, model=model).status_code == 200


def test_answers_leave_in_the_order_of_the_requests(site):
    """Feedback waits for a thread; what is pipelined behind it waits with it."""
    [about] = predicted(site, 1)
    body = json.dumps({"feedback": [{"prediction": about, "value": 1}]}).encode()
    feedback = b"POST %s/feedback HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (
        MODEL.encode(), len(body), body,
    )  # fmt: skip
    alive = b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n"
    where = urlsplit(site.server.url)
    with socket.create_connection((where.hostname, where.port), timeout=20) as client:
        client.sendall(alive + feedback + alive + feedback + feedback + alive + b"no HTTP\r\n\r\n")
        data = b""
        while chunk := client.recv(65536):
            data += chunk
    bodies = data.split(b"HTTP/1.1 ")[1:]
    assert ["live" if b'"live"' in p else p[:3].decode() for p in bodies] == [
        "live", "200", "live", "200", "200", "live", "400",
    ]  # fmt: skip


def test_a_prediction_that_is_in_the_lake_alone_is_taken_on_trust(site):
    (site.predictions / PRUNED).write_text('{"mab3k9x1f2c4": 6}')
    for segment, status in ((0, 200), (6, 200), (7, 404)):
        told = {"prediction": f"mab3k9x1f2c4.{segment}.8.0", "value": 1}
        assert tell(site, told).status_code == status
    assert tell(site, {"prediction": "another.0.8.0", "value": 1}).status_code == 404


def test_a_gateway_without_a_log_knows_no_predictions(tmp_path, image):
    with serving(tmp_path, routes_of((image("plain"), 100.0)), predictions=None) as site:
        answer = tell(site, {"prediction": "a.0.8.0", "value": 1})
    assert answer.status_code == 404
    assert "keeps no prediction log" in answer.json()["error"]
