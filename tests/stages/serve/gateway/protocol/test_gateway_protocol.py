"""The gateway over the wire: the Open Inference Protocol, `predict`, and bad requests."""

from __future__ import annotations

import json
import math
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest
import trained_models as small
from gateway_site import routes_of, serving
from prometheus_client.parser import text_string_to_metric_families

from onward.stages.serve.log.reader import find

MODEL = "/v2/models/returns"
NAMES = [c.name for c in small.PLAN.columns]


def expected(row: dict[str, Any]) -> float:
    number = int(row["store"][1:])
    stats = (0.1 * number, 10.0 * number) if number < 4 else (math.nan, math.nan)
    hour = float(row["placed_at"][11:13])
    values = [*stats, row["amount"], math.log1p(row["amount"]), hour]
    return float(small.Linear(1.0).predict_proba(np.array([values]))[0, 1])


def matrix(rows: list[list[float | None]], **extra: Any) -> dict[str, Any]:
    tensor = {"name": "input", "shape": [len(rows), len(rows[0])], "datatype": "FP64"}
    return {"inputs": [tensor | {"data": [v for row in rows for v in row]}], **extra}


def test_it_says_what_it_is(site):
    ask = site.client.get
    assert ask("/v2").json()["name"] == "onward"
    assert ask("/v2/health/live").json() == {"live": True}
    assert ask("/v2/health/ready").json() == {"ready": True}
    assert ask(f"{MODEL}/ready").status_code == 200
    assert ask(f"{MODEL}/versions/1/ready?x=1").status_code == 200
    about = ask(MODEL).json()
    assert (about["name"], about["versions"]) == ("returns", ["1"])
    assert [(i["name"], i["datatype"]) for i in about["inputs"]] == [(n, "FP64") for n in NAMES]
    assert [o["name"] for o in about["outputs"]] == ["probability", "label"]
    assert ask("/v2/models/named").json()["inputs"][-1]["datatype"] == "BYTES"
    sorter = ask("/v2/models/sorter/versions/1").json()["outputs"]
    assert [(o["name"], o["datatype"], o["shape"]) for o in sorter] == [
        ("probabilities", "FP64", [-1, 3]),
        ("label", "BYTES", [-1]),
    ]
    assert about["properties"] == {"classes": "[0,1]"}
    assert ask("/v2/models/sorter").json()["properties"] == {
        "classes": '["large","medium","small"]'
    }
    assert "properties" not in ask("/v2/models/pricer").json()


def test_predict_joins_views_and_on_demand_features(site):
    rows = small.rows(20, seed=1)
    answer = site.predict(rows)
    assert answer.status_code == 200
    entries = answer.json()["predictions"]
    assert [e["output"] for e in entries] == pytest.approx([expected(r) for r in rows], rel=1e-12)
    assert [e["unit"] for e in entries] == [r["order_id"] for r in rows]
    logged = find(site.predictions, entries[3]["id"])
    assert logged.output == entries[3]["output"]
    assert logged.request["amount"] == rows[3]["amount"]
    assert logged.features["log_amount"] == math.log1p(rows[3]["amount"])
    assert (logged.arm, logged.release, logged.version) == ("champion", "champion-release", 1)


def test_missing_view_rows_and_null_values_become_nan(site):
    row = small.rows(1)[0] | {"store": "nowhere", "amount": None}
    [entry] = site.predict([row]).json()["predictions"]
    features = find(site.predictions, entry["id"]).features
    assert features["stores__rate"] is None
    assert features["amount"] is None


def test_text_features_are_served_through_a_dataframe(site):
    row = small.rows(1)[0]
    both = [row | {"placed_at": f"2026-01-01T{h}:00:00Z"} for h in ("09", "21")]
    entries = site.predict(both, "named").json()["predictions"]
    logged = [find(site.predictions, e["id"]) for e in entries]
    assert [p.features["part_of_day"] for p in logged] == ["am", "pm"]
    assert entries[0]["output"] < entries[1]["output"]


def test_infer_takes_a_matrix_flat_or_nested_or_a_tensor_per_column(site):
    rows = [[0.1, 10.0, 20.0, 3.0, 12.0], [0.2, None, 25.0, 3.2, 1.0]]
    wanted = small.Linear(1.0).predict_proba(np.array(rows, dtype=float))[:, 1].tolist()
    nested = matrix(rows)
    nested["inputs"][0]["data"] = rows
    columns = {
        "inputs": [
            {"name": n, "shape": [2], "datatype": "FP64", "data": [r[i] for r in rows]}
            for i, n in reversed(list(enumerate(NAMES)))
        ]
    }
    for body in (matrix(rows), nested, columns):
        answer = site.client.post(f"{MODEL}/infer", json=body).json()
        assert answer["outputs"][0] == {
            "name": "probability", "datatype": "FP64", "shape": [2],
            "data": pytest.approx(wanted, rel=1e-12),
        }  # fmt: skip
        assert answer["outputs"][1]["data"] == [int(p >= 0.5) for p in wanted]


def test_infer_echoes_id_and_parameters_and_gives_the_outputs_asked_for(site):
    body = matrix([[0.1] * 5], id="mine", parameters={"tenant": 7}, outputs=[{"name": "label"}])
    answer = site.client.post(f"{MODEL}/versions/1/infer", json=body).json()
    assert answer["id"] == "mine"
    assert answer["model_version"] == "1"
    assert answer["parameters"]["tenant"] == 7
    assert answer["parameters"]["arm"] == "direct"
    assert [o["name"] for o in answer["outputs"]] == ["label"]
    logged = find(site.predictions, answer["parameters"]["prediction_ids"])
    assert (logged.unit, logged.arm, logged.request) == ("mine", "direct", {})


def test_infer_takes_text_and_booleans(site):
    values = dict.fromkeys(NAMES, 1.0) | {"part_of_day": "am"}
    inputs = [
        {"name": n, "shape": [1, 1], "datatype": "BYTES" if n == "part_of_day" else "FP64",
         "data": [[v]]}
        for n, v in values.items()
    ]  # fmt: skip
    inputs[0] |= {"datatype": "BOOL", "data": [True]}
    answer = site.client.post("/v2/models/named/infer", json={"inputs": inputs})
    assert answer.status_code == 200
    flags = answer.json()["outputs"][0]["data"]
    assert 0 < flags[0] < 0.5


def test_the_other_tasks(site):
    row = small.rows(1)[0] | {"amount": 500.0}
    [sorted_] = site.predict([row], "sorter").json()["predictions"]
    assert sorted_["output"] == {"large": 0.5, "medium": 0.125, "small": 0.375}
    assert find(site.predictions, sorted_["id"]).output == [0.5, 0.125, 0.375]
    [priced] = site.predict([row], "pricer").json()["predictions"]
    assert priced["output"] == 1000.0
    body = matrix([[0, 0, 500.0, 0, 0]])
    answer = site.client.post("/v2/models/sorter/infer", json=body).json()
    assert answer["outputs"][0]["shape"] == [1, 3]
    assert answer["outputs"][1]["data"] == ["large"]
    priced = site.client.post("/v2/models/pricer/infer", json=body).json()
    assert priced["outputs"][0]["name"] == "prediction"


ROW = small.rows(1)[0]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"{", "cannot be read"),
        (b"", "cannot be read"),
        (b"[]", "cannot be read"),
        (b'{"rows": []}', "there are no rows"),
        (b'{"rows": [1]}', "row 0 is no object"),
        ({"rows": [ROW | {"amount": "12"}]}, "column 'amount' is '12'"),
        ({"rows": [ROW, ROW | {"order_id": None}]}, "row 1: column 'order_id' is None"),
        ({"rows": [ROW | {"placed_at": "yesterday"}]}, "timestamp[us, tz=UTC]"),
        (
            {"rows": [{k: v for k, v in ROW.items() if k != "amount"} | {"amuont": 1.0}]},
            "'amount' is missing; did 'amuont' mean it?",
        ),
        ({"rows": [ROW | {"amount": -1.0}]}, "amount is negative"),
    ],
)
def test_bad_rows_are_refused_with_what_is_wrong(site, body, says):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = site.client.post(f"{MODEL}/predict", content=content)
    assert answer.status_code == 400
    assert says in answer.json()["error"]


def tensor(**changes: Any) -> dict[str, Any]:
    return {"name": "input", "shape": [1, 5], "datatype": "FP64", "data": [1.0] * 5} | changes


def each(**changes: Any) -> list[dict[str, Any]]:
    made = [{"name": n, "shape": [1], "datatype": "FP64", "data": [1.0]} for n in NAMES]
    return [made[0] | changes, *made[1:]]


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ([tensor(shape=[1, 4])], "[n, 5]"),
        ([tensor(data=[1.0] * 4)], "has 4 elements"),
        ([tensor(data=[1.0, "2", 3, 4, 5])], "what is not FP64"),
        ([tensor(data=[[1.0, 2, 3], 4, 5])], "what is not FP64"),
        ([tensor(data=5)], "what is not FP64"),
        ([tensor(datatype="FP8")], "datatype 'FP8'"),
        ([tensor(datatype="BYTES", data=["1"] * 5)], "datatype 'BYTES'"),
        ([tensor(shape=[0, 5], data=[])], "n ≥ 1"),
        ([], "5 inputs are missing, first 'stores__rate'"),
        (each()[1:], "1 inputs are missing, first 'stores__rate'"),
        (each(name="stores_rate"), "did you mean 'stores__rate'?"),
        (each(shape=[2], data=[1.0, 2.0]), "shapes differ"),
        (each(shape=[1, 2], data=[1.0, 2.0]), "shapes differ"),
        (each(shape=[]), "has shape []"),
        ("?", "no inference request"),
    ],
)
def test_bad_tensors_are_refused_with_what_is_wrong(site, inputs, says):
    answer = site.client.post(f"{MODEL}/infer", json={"inputs": inputs})
    assert answer.status_code == 400
    assert says in answer.json()["error"]


def test_unknown_things_are_named(site):
    def error(method: str, path: str, status: int) -> str:
        answer = site.client.request(method, path, json={})
        assert answer.status_code == status
        return answer.json()["error"]

    assert "did you mean 'returns'?" in error("POST", "/v2/models/return/infer", 404)
    assert "did you mean '/metrics'?" in error("GET", "/metric", 404)
    assert "OPTIONS, POST are" in error("GET", f"{MODEL}/infer", 405)
    assert "there is no output 'odds'" in site.client.post(
        f"{MODEL}/infer", json=matrix([[1.0] * 5], outputs=[{"name": "odds"}])
    ).json()["error"]  # fmt: skip


def test_head_and_options(site):
    whole, bare = site.client.get(MODEL), site.client.head(MODEL)
    assert bare.status_code == 200
    assert bare.content == b""
    assert bare.headers["content-length"] == str(len(whole.content))
    asked = site.client.options(MODEL)
    assert (asked.status_code, asked.headers["allow"]) == (200, "GET, HEAD, OPTIONS")
    refused = site.client.delete(f"{MODEL}/infer")
    assert (refused.status_code, refused.headers["allow"]) == (405, "OPTIONS, POST")
    assert site.client.options("/v2/models/none").status_code == 404


def test_a_matrix_cannot_carry_text(site):
    answer = site.client.post("/v2/models/named/infer", json=matrix([[1.0] * 6]))
    assert "some hold text" in answer.json()["error"]


def test_callers_in_one_tick_get_their_own_answers(site):
    """Batched equals alone, whoever else is in the tick, and one bad row spoils one answer."""
    rows = small.rows(120, seed=7)
    bad = {17, 55, 90}

    def call(at: int) -> httpx.Response:
        row = rows[at] | ({"amount": -5.0} if at in bad else {})
        return httpx.post(f"{site.server.url}{MODEL}/predict", json={"rows": [row]})

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(call, range(len(rows))))
    for at, answer in enumerate(answers):
        if at in bad:
            assert answer.status_code == 400
        else:
            [entry] = answer.json()["predictions"]
            assert entry["unit"] == rows[at]["order_id"]
            assert entry["output"] == pytest.approx(expected(rows[at]), rel=1e-9)


def talk(site, data: bytes, *, half_close: bool = False) -> bytes:
    parts = urlsplit(site.server.url)
    with socket.create_connection((parts.hostname, parts.port), timeout=10) as sock:
        sock.sendall(data)
        if half_close:
            sock.shutdown(socket.SHUT_WR)
        received = b""
        while chunk := sock.recv(65_536):
            received += chunk
        return received


def post(body: bytes, *headers: str) -> bytes:
    lines = [f"POST {MODEL}/predict HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def test_pipelined_requests_are_answered_in_their_order(site):
    bodies = [json.dumps({"rows": [r]}).encode() for r in small.rows(3, seed=3)]
    get = b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n"
    last = post(bodies[2], "Connection: close")
    received = talk(site, post(bodies[0]) + get + post(b"{") + post(bodies[1]) + last)
    heads = [part.split(b"\r\n")[0] for part in received.split(b"HTTP/1.1 ")[1:]]
    assert heads == [b"200 OK", b"200 OK", b"400 Bad Request", b"200 OK", b"200 OK"]
    units = [received.index(f'"unit":"o3-{i}"'.encode()) for i in range(3)]
    assert units == sorted(units)
    assert units[0] < received.index(b'"live"') < received.index(b'"error"') < units[1]


def test_chunked_bodies_and_expect_continue(site):
    body = json.dumps({"rows": small.rows(1)}).encode()
    head = f"POST {MODEL}/predict HTTP/1.1\r\nHost: x\r\nConnection: close\r\n".encode()
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(c), c) for c in (body[:10], body[10:]))
    assert b"200 OK" in talk(
        site, head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"
    )
    assert talk(site, post(body, "Expect: 100-continue", "Connection: close")).startswith(
        b"HTTP/1.1 100 Continue\r\n\r\n"
    )


@pytest.fixture(scope="module")
def narrow(tmp_path_factory, image):
    """A gateway that takes bodies of 64 KiB at most."""
    folder = tmp_path_factory.mktemp("narrow")
    with serving(folder, routes_of((image("plain"), 100.0)), max_body_bytes=64 << 10) as opened:
        yield opened


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"this is not HTTP\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 70_000 + b"\r\n\r\n", b"431"),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 200_000, b"431"),
        (post(b"{}").replace(b"Length: 2", b"Length: 99999999"), b"413"),
        (
            b"POST /v2 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
             b"100000\r\n" + b" " * 0x100000 + b"\r\n0\r\n\r\n",
            b"413",
        ),
    ],
)  # fmt: skip
def test_what_is_no_request_is_refused_and_the_connection_ended(narrow, data, status):
    assert talk(narrow, data).startswith(b"HTTP/1.1 " + status)


def test_a_client_that_only_listens_still_gets_its_answers(site):
    body = json.dumps({"rows": small.rows(1)}).encode()
    assert talk(site, post(body) * 3, half_close=True).count(b"HTTP/1.1 200 OK") == 3


def test_an_upgrade_is_declined_by_answering(site):
    asked = b"GET /v2 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\nPRI * ..."
    received = talk(site, asked)
    assert received.startswith(b"HTTP/1.1 200")
    assert received.count(b"HTTP/1.1") == 1


def test_metrics_parse_and_count(site):
    def value(name: str, **labels: str) -> float:
        text = site.client.get("/metrics").text
        return sum(
            s.value
            for family in text_string_to_metric_families(text)
            for s in family.samples
            if s.name == name and labels.items() <= s.labels.items()
        )

    counted = {"model": "returns", "version": "1", "arm": "champion", "status": "200"}
    before = value("onward_predictions_total", **counted)
    written = value("onward_prediction_log_bytes_total")
    site.predict(small.rows(3))
    site.client.post(f"{MODEL}/predict", content=b"{")
    assert value("onward_predictions_total", **counted) == before + 3
    assert value("onward_prediction_log_bytes_total") > written
    assert value("onward_requests_total", route="predict", status="400") >= 1
    assert value("onward_request_latency_seconds_bucket", le="+Inf") > 0
    assert value("onward_routes_info", model="returns") == 1
