"""MLflow's scoring protocol: its documented forms, and what they are answered with."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import httpx
import pytest
import trained_models as small
from gateway_site import routes_of, serving

from onward.core.version import VERSION
from onward.stages.serve.log.reader import find

ROWS = [
    {"order_id": "o1", "store": "s1", "amount": 20.0, "placed_at": "2026-01-01T12:00:00+00:00"},
    {"order_id": "o2", "store": "s2", "amount": 900.0, "placed_at": "2026-01-02T01:00:00+00:00"},
]
NAMES = [c.name for c in small.PLAN.columns]
FEATURES = [[0.1, 10.0, 20.0, 3.0, 12.0], [0.2, 5.0, 25.0, 3.2, 1.0]]


def score(site: Any, body: Any, model: str = "returns", kind: str = "") -> httpx.Response:
    data = body if isinstance(body, str) else json.dumps(body)
    headers = {"Content-Type": kind or "application/json"}
    return site.client.post(f"/invocations?model={model}", content=data, headers=headers)


def as_csv(names: list[str], rows: list[list[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows([names, *rows])
    return text.getvalue()


def split(names: list[str], rows: list[list[Any]]) -> dict[str, Any]:
    return {"dataframe_split": {"index": [0, 1], "columns": names, "data": rows}}


def records(names: list[str], rows: list[list[Any]]) -> list[dict[str, Any]]:
    return [dict(zip(names, row, strict=True)) for row in rows]


def forms(names: list[str], rows: list[list[Any]]) -> list[tuple[Any, str]]:
    """Return the same table in every form that names its columns."""
    columns = {name: [row[i] for row in rows] for i, name in enumerate(names)}
    tall = {name: [[value] for value in values] for name, values in columns.items()}
    return [
        (split(names, rows), ""),
        (split(names, rows), "application/json; charset=utf-8"),
        ({"dataframe_records": records(names, rows)}, ""),
        ({"instances": records(names, rows)}, ""),
        ({"inputs": records(names, rows)}, ""),
        ({"inputs": columns}, ""),
        ({"instances": tall}, ""),
        (as_csv(names, rows), "text/csv"),
        (as_csv(names, rows), "application/csv; charset=utf-8"),
    ]


def test_requests_are_looked_up_and_predicted(site):
    names = list(ROWS[0])
    rows = [list(row.values()) for row in ROWS]
    wanted = [p["output"] for p in site.predict(ROWS).json()["predictions"]]
    for body, kind in forms(names, rows):
        answer = score(site, body, kind=kind)
        assert answer.status_code == 200, answer.text
        assert answer.json()["predictions"] == [int(p >= 0.5) for p in wanted]
        ids = answer.json()["prediction_ids"]
        assert [find(site.predictions, i).output for i in ids] == wanted


def test_features_are_taken_as_they_are(site):
    for body, kind in forms(NAMES, FEATURES):
        answer = score(site, body, kind=kind)
        assert answer.status_code == 200, answer.text
        assert answer.json()["predictions"] == [1, 0]
    matrix = [{"inputs": FEATURES}, {"instances": FEATURES}]
    assert [score(site, body).json()["predictions"] for body in matrix] == [[1, 0]] * 2
    text = [[*row, "am"] for row in FEATURES]
    answer = score(site, split([*NAMES, "part_of_day"], text), "named")
    assert answer.json()["predictions"] == [0, 0]


def test_probabilities_are_asked_for_by_a_parameter(site):
    params = {"params": {"predict_method": "predict_proba"}}
    [[low, high], _] = score(site, {"inputs": FEATURES, **params}).json()["predictions"]
    assert low + high == pytest.approx(1)
    shares = score(site, {"inputs": FEATURES, **params}, "sorter").json()["predictions"]
    assert [len(row) for row in shares] == [3, 3]
    assert score(site, {"inputs": FEATURES}, "sorter").json()["predictions"] == ["small"] * 2
    assert score(site, {"inputs": FEATURES}, "pricer").json()["predictions"] == [40.0, 50.0]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("{", "cannot be read"), ({}, "no table"), ({"inputs": []}, "no rows"),
        ({"inputs": 3}, "inputs is 3"), ({"inputs": [[1.0], [1.0, 2.0]]}, "row 1 has 2 values"),
        ({"inputs": [[1.0]]}, "has shape [1, 1]"),
        ({"inputs": {"a": [1], "b": []}}, "lengths differ"),
        ({"inputs": [[1.0]], "instances": [[1.0]]}, "the body has ['instances', 'inputs']"),
        ({"inputs": [["x"] * 5]}, "is not FP64"), ({"dataframe_records": [{"a": 1}]}, "is missing"),
        ({"inputs": FEATURES, "params": {"predict_method": "score"}}, "predict_method is 'score'"),
    ],
)  # fmt: skip
def test_what_is_no_table_is_refused_in_mlflows_words(site, body, reason):
    answer = score(site, body)
    assert answer.status_code == 400
    assert answer.json()["error_code"] == "BAD_REQUEST"
    assert reason in answer.json()["message"]


@pytest.mark.parametrize(
    ("body", "reason"), [("a,b\n", "no rows"), ("a\n\xff".encode("latin-1"), "no CSV")]
)
def test_what_is_no_csv_is_refused(site, body, reason):
    answer = site.client.post(
        "/invocations?model=returns", content=body, headers={"Content-Type": "text/csv"}
    )
    assert answer.status_code == 400
    assert reason in answer.json()["message"]


def test_csv_cells_are_what_they_say(site):
    names, rows = list(ROWS[0]), [[*ROWS[0].values()], ["o2", "s2", "much", ""]]
    answer = score(site, as_csv(names, rows), kind="text/csv")
    assert answer.status_code == 400
    assert "column 'amount' is 'much'" in answer.json()["message"]
    rows[1][2] = ""
    assert score(site, as_csv(names, rows), kind="text/csv").json()["predictions"][0] == 1


def test_which_model_is_asked(site):
    answer = site.client.post("/invocations", json={"inputs": FEATURES})
    assert answer.status_code == 400
    assert "?model= with one of: named, pricer" in answer.json()["message"]
    answer = score(site, {"inputs": FEATURES}, "retruns")
    assert answer.status_code == 404
    assert "did you mean 'returns'?" in answer.json()["message"]
    answer = score(site, {"inputs": FEATURES}, "returns&of=1")
    assert (answer.status_code, "?model=returns alone" in answer.json()["message"]) == (400, True)
    assert score(site, {}, kind="text/xml").status_code == 415


def test_one_model_needs_no_name_and_a_failing_one_says_so(tmp_path, image):
    with serving(tmp_path, routes_of((image("brittle"), 100.0))) as site:
        assert site.client.post("/invocations", json={"inputs": FEATURES}).status_code == 200
        assert score(site, {"inputs": FEATURES}, "returns&of=1").status_code == 200
        mistaken = score(site, {"inputs": FEATURES}, "retruns")
        broken = [[0.1, 10.0, 6_000.0, 3.0, 12.0]]
        answer = site.client.post("/invocations", json={"inputs": broken})
    assert mistaken.status_code == 404
    assert "did you mean 'returns'?" in mistaken.json()["message"]
    assert answer.status_code == 500
    assert answer.json()["error_code"] == "INTERNAL_ERROR"
    assert "cannot bear large amounts" in answer.json()["message"]


def test_ping_health_and_version(site):
    for path in ("/ping", "/health"):
        assert (site.client.get(path).status_code, site.client.get(path).text) == (200, "\n")
    assert site.client.get("/version").text == VERSION
