"""Triton's and KServe's clients, asking a gateway: run in `.venv-clients` by `test_clients.py`.

``python foreign_clients.py triton|kserve HTTP_ADDRESS GRPC_ADDRESS MODEL`` prints what it got over
each, as JSON. A process each: one cannot import both, whose messages have the same names.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import numpy as np

if sys.argv[1] == "triton":
    import tritonclient.grpc as triton_grpc
    import tritonclient.http as triton_http
else:
    import kserve

ROWS = np.array([[0.1, 10.0, 20.0, 3.0, 12.0], [0.2, 5.0, 25.0, 3.2, 1.0]])


def triton(client: Any, kinds: Any, model: str, **options: Any) -> dict[str, Any]:
    """Ask by Triton's client for `kinds`, one of its modules."""
    found: dict[str, Any] = {
        "live": client.is_server_live(),
        "ready": client.is_server_ready(),
        "model": client.is_model_ready(model),
        "version": client.is_model_ready(model, "1"),
        "unknown": client.is_model_ready("none"),
    }
    about = client.get_server_metadata(**options)
    found["extensions"] = about["extensions"]
    found["inputs"] = [t["name"] for t in client.get_model_metadata(model, **options)["inputs"]]
    matrix = kinds.InferInput("input", list(ROWS.shape), "FP64")
    matrix.set_data_from_numpy(ROWS)
    answer = client.infer(model, [matrix], request_id="i7")
    found["probability"] = answer.as_numpy("probability").tolist()
    found["label"] = answer.as_numpy("label").tolist()
    texts = np.array([["am"], ["pm"]], dtype=object)
    named = [
        *(_column(kinds, i, name) for i, name in enumerate(found["inputs"])),
        kinds.InferInput("part_of_day", [2, 1], "BYTES"),
    ]
    named[-1].set_data_from_numpy(texts)
    found["named"] = client.infer("named", named).as_numpy("probability").tolist()
    sorted_ = client.infer("sorter", [matrix], outputs=[kinds.InferRequestedOutput("label")])
    found["labels"] = [label.decode() for label in sorted_.as_numpy("label").tolist()]
    return found


def _column(kinds: Any, i: int, name: str) -> Any:
    tensor = kinds.InferInput(name, [2, 1], "FP32")
    tensor.set_data_from_numpy(ROWS[:, i : i + 1].astype(np.float32))
    return tensor


def triton_over_http(address: str, model: str) -> dict[str, Any]:
    with triton_http.InferenceServerClient(address) as client:
        found = triton(client, triton_http, model)
        found["properties"] = client.get_model_metadata("sorter")["properties"]
        matrix = triton_http.InferInput("input", list(ROWS.shape), "FP32")
        matrix.set_data_from_numpy(ROWS.astype(np.float32), binary_data=False)
        plain = triton_http.InferRequestedOutput("probability", binary_data=False)
        for compression in ("gzip", "deflate"):
            answer = client.infer(
                model,
                [matrix],
                outputs=[plain],
                request_compression_algorithm=compression,
                response_compression_algorithm=compression,
            )
            found[compression] = answer.as_numpy("probability").tolist()
        try:
            client.infer(model, [matrix], outputs=[triton_http.InferRequestedOutput("odds")])
        except triton_http.InferenceServerException as error:
            found["error"] = [error.status(), error.message()]
    return found


def triton_over_grpc(address: str, model: str) -> dict[str, Any]:
    with triton_grpc.InferenceServerClient(address) as client:
        found = triton(client, triton_grpc, model, as_json=True)
        matrix = triton_grpc.InferInput("input", list(ROWS.shape), "FP64")
        matrix.set_data_from_numpy(ROWS)
        try:
            client.infer(model, [matrix], outputs=[triton_grpc.InferRequestedOutput("odds")])
        except triton_grpc.InferenceServerException as error:
            found["error"] = [error.status(), error.message()]
    return found


async def kserve_over_http(address: str, model: str) -> dict[str, Any]:
    url = f"http://{address}"
    client = kserve.InferenceRESTClient(kserve.RESTConfig(protocol="v2"))
    found: dict[str, Any] = {
        "live": await client.is_server_live(url),
        "ready": await client.is_server_ready(url),
        "model": await client.is_model_ready(url, model),
    }
    for name, binary in (("json", False), ("bytes", True)):
        answer = await client.infer(url, _kserve_request(model, binary=binary), model_name=model)
        found[name] = answer.outputs[0].as_numpy().tolist()
    await client.close()
    return found


async def kserve_over_grpc(address: str, model: str) -> dict[str, Any]:
    async with kserve.InferenceGRPCClient(address) as client:
        found: dict[str, Any] = {
            "live": await client.is_server_live(),
            "ready": await client.is_server_ready(),
            "model": await client.is_model_ready(model),
        }
        for name, binary in (("typed", False), ("raw", True)):
            answer = await client.infer(_kserve_request(model, binary=binary))
            found[name] = answer.outputs[0].as_numpy().tolist()
    return found


def _kserve_request(model: str, *, binary: bool) -> Any:
    tensor = kserve.InferInput("input", list(ROWS.shape), "FP64")
    tensor.set_data_from_numpy(ROWS, binary_data=binary)
    return kserve.InferRequest(model_name=model, infer_inputs=[tensor])


if __name__ == "__main__":
    client, http, rpc, model = sys.argv[1:]
    if client == "triton":
        found = [triton_over_http(http, model), triton_over_grpc(rpc, model)]
    else:
        found = [
            asyncio.run(kserve_over_http(http, model)),
            asyncio.run(kserve_over_grpc(rpc, model)),
        ]
    print(json.dumps(dict(zip(("http", "grpc"), found, strict=True))))
