"""Bodies that are not plain JSON: tensors as bytes, compressed bodies, other types."""

from __future__ import annotations

import gzip
import json
import zlib
from typing import Any

import httpx
import numpy as np
import pytest
import trained_models as small

URL = "/v2/models/returns/infer"
ROWS = np.array([[0.1, 10.0, 20.0, 3.0, 12.0], [0.2, 5.0, 25.0, 3.2, 1.0]])
NAMES = [c.name for c in small.PLAN.columns]


def send(site: Any, request: dict[str, Any], *data: bytes, **headers: str) -> httpx.Response:
    head = json.dumps(request).encode()
    return site.client.post(
        URL,
        content=head + b"".join(data),
        headers={
            "Content-Type": "application/octet-stream",
            "Inference-Header-Content-Length": str(len(head)),
            **headers,
        },
    )


def tensor(size: int, **extra: Any) -> dict[str, Any]:
    about = {"name": "input", "shape": [2, 5], "datatype": "FP32"}
    return {**about, "parameters": {"binary_data_size": size}, **extra}


def split(answer: httpx.Response) -> tuple[Any, bytes]:
    assert answer.status_code == 200, answer.text
    length = int(answer.headers["inference-header-content-length"])
    assert answer.headers["content-type"] == "application/octet-stream"
    return json.loads(answer.content[:length]), answer.content[length:]


def expected(rows: np.ndarray) -> np.ndarray:
    return small.Linear(1.0).predict_proba(rows)[:, 1]


def test_bytes_in_and_bytes_out(site):
    data = ROWS.astype("<f4").tobytes()
    request = {"id": "i7", "inputs": [tensor(len(data))]}
    everything = split(send(site, {**request, "parameters": {"binary_data_output": True}}, data))
    asked = [{"name": "label"}, {"name": "probability", "parameters": {"binary_data": True}}]
    some = split(send(site, {**request, "outputs": asked}, data))

    answer, tail = everything
    assert answer["id"] == "i7"
    assert [o["parameters"] for o in answer["outputs"]] == [{"binary_data_size": 16}] * 2
    assert np.frombuffer(tail[:16], "<f8") == pytest.approx(expected(ROWS), rel=1e-6)
    assert np.frombuffer(tail[16:], "<i8").tolist() == [1, 0]
    answer, tail = some
    assert [o["name"] for o in answer["outputs"]] == ["label", "probability"]
    assert answer["outputs"][0]["data"] == [1, 0]
    assert "data" not in answer["outputs"][1]
    assert tail == everything[1][:16]


def test_a_column_as_bytes_beside_one_in_json(site):
    first = ROWS[:, 0].astype("<f8").tobytes()
    rest = [
        {"name": n, "shape": [2], "datatype": "FP64", "data": ROWS[:, i].tolist()}
        for i, n in enumerate(NAMES)
        if i
    ]
    parts = {"name": NAMES[0], "shape": [2, 1], "datatype": "FP64"}
    request = {"inputs": [*rest, {**parts, "parameters": {"binary_data_size": len(first)}}]}
    answer = send(site, request, first).json()
    assert answer["outputs"][0]["data"] == pytest.approx(expected(ROWS).tolist(), rel=1e-12)


def test_texts_as_bytes(site):
    inputs = [
        {"name": n, "shape": [1], "datatype": "FP64", "data": [float(ROWS[0, i])]}
        for i, n in enumerate(NAMES)
    ]
    text = {"name": "part_of_day", "shape": [1], "datatype": "BYTES"}
    inputs.append({**text, "parameters": {"binary_data_size": 6}})
    request = {"inputs": inputs, "parameters": {"binary_data_output": True}}
    head = json.dumps(request).encode()
    headers = {"Inference-Header-Content-Length": str(len(head))}
    body = head + b"\2\0\0\0am"
    answer = site.client.post("/v2/models/named/infer", content=body, headers=headers)
    assert np.frombuffer(split(answer)[1][:8], "<f8")[0] == pytest.approx(
        expected(ROWS[:1])[0] / 2, rel=1e-12
    )


def test_labels_that_are_texts_come_as_bytes(site):
    plain = {"name": "input", "shape": [2, 5], "datatype": "FP64", "data": ROWS.ravel().tolist()}
    asked = [{"name": "label", "parameters": {"binary_data": True}}]
    answer = site.client.post("/v2/models/sorter/infer", json={"inputs": [plain], "outputs": asked})
    assert split(answer)[1] == b"\5\0\0\0small" * 2


@pytest.mark.parametrize(
    ("inputs", "data", "reason"),
    [
        ([tensor(40)], b"\0" * 39, "39 bytes follow the JSON"),
        ([tensor(40)], b"\0" * 41, "41 bytes follow the JSON"),
        ([tensor(36)], b"\0" * 36, "has 9 elements"),
        ([tensor(-1)], b"", "binary_data_size -1"),
        ([tensor(True)], b"", "binary_data_size True"),
        ([tensor(40, data=[1])], b"\0" * 40, "and data"),
        ([tensor(40, parameters={})], b"", "has no data"),
    ],
)  # fmt: skip
def test_bytes_that_do_not_fit_are_refused(site, inputs, data, reason):
    answer = send(site, {"inputs": inputs}, data)
    assert answer.status_code == 400
    assert reason in answer.json()["error"]


@pytest.mark.parametrize("length", ["0", "-1", "x", "999999", "9" * 30])
def test_a_wrong_length_of_the_json_is_refused(site, length):
    answer = send(site, {"inputs": []}, **{"Inference-Header-Content-Length": length})
    assert answer.status_code == 400
    assert "Inference-Header-Content-Length" in answer.json()["error"]


PLAIN = json.dumps(
    {"inputs": [{"name": "i", "shape": [2, 5], "datatype": "FP64", "data": ROWS.ravel().tolist()}]}
).encode()
GZIPPED = gzip.compress(PLAIN, mtime=0)


@pytest.mark.parametrize(
    ("encoding", "body"),
    [("gzip", GZIPPED), ("Deflate", zlib.compress(PLAIN)), ("identity", PLAIN)],
)
def test_compressed_bodies_are_read(site, encoding, body):
    answer = site.client.post(URL, content=body, headers={"Content-Encoding": encoding})
    assert answer.json()["outputs"][0]["data"] == pytest.approx(expected(ROWS).tolist())


@pytest.mark.parametrize(
    ("headers", "body", "status", "reason"),
    [
        ({"Content-Encoding": "br"}, PLAIN, 415, "expected: deflate or gzip"),
        ({"Content-Encoding": "gzip"}, PLAIN, 400, "is no gzip"),
        ({"Content-Encoding": "gzip"}, GZIPPED[:-4], 400, "cut off"),
        ({"Content-Encoding": "gzip"}, GZIPPED + b"x", 400, "something follows"),
        ({"Content-Encoding": "deflate"}, zlib.compress(bytes(9 << 20)), 413, "decompressed"),
        ({"Content-Type": "text/csv"}, PLAIN, 415, "application/json or application/octet-stream"),
    ],
)
def test_bodies_that_nobody_can_read_are_refused(site, headers, body, status, reason):
    answer = site.client.post(URL, content=body, headers=headers)
    assert answer.status_code == status
    assert reason in answer.json()["error"]


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "APPLICATION/JSON", ""])
def test_json_is_known_however_it_is_named(site, kind):
    assert site.client.post(URL, content=PLAIN, headers={"Content-Type": kind}).status_code == 200


@pytest.mark.parametrize("route", ["infer", "predict"])
def test_a_body_nested_without_end_is_refused(site, route):
    deep = b'{"inputs": [{"name": "i", "shape": [1], "datatype": "FP64", "data": ' + b"[" * 100_000
    assert site.client.post(f"/v2/models/returns/{route}", content=deep).status_code == 400
    rows = b'{"rows": ' + b"[" * 5_000 + b"]" * 5_000 + b"}"
    assert site.client.post(f"/v2/models/returns/{route}", content=rows).status_code == 400


def test_rows_are_json(site):
    headers = {"Content-Type": "application/octet-stream"}
    answer = site.client.post("/v2/models/returns/predict", content=b"{}", headers=headers)
    assert answer.status_code == 415


def test_what_the_server_says_of_itself(site):
    assert site.client.get("/v2").json()["extensions"] == ["binary_tensor_data"]
    assert site.client.get("/v2/").json() == site.client.get("/v2").json()
    assert set(site.client.get("/v2/models").json()["models"]) >= {"returns", "sorter"}
    answer = site.client.get("/v2/models/returns/versions/9/ready")
    assert answer.status_code == 404
    assert "no version '9' of 'returns'" in answer.json()["error"]
