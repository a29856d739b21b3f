"""A description of what the gateway answers, in OpenAPI 3.1: ``GET /openapi.json``.

Made of the types by which bodies are read and written. It names no model: which there are is said
by ``GET /v2/models``, what one takes by ``GET /v2/models/{model}``.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import msgspec

from onward.stages.serve.gateway.handlers.feedback import FeedbackRequest
from onward.stages.serve.gateway.protocol.inference import ModelMetadata, Output
from onward.stages.serve.gateway.protocol.wire import InferRequest

JSON: Final = "application/json"
BYTES: Final = "application/octet-stream"


class Error(msgspec.Struct):
    """What is wrong, what was expected, and what to do."""

    error: str


class Server(msgspec.Struct):
    """The server's metadata."""

    name: str
    version: str
    extensions: list[str]


class Models(msgspec.Struct):
    """The names of the models that are served."""

    models: list[str]


class Live(msgspec.Struct):
    """Whether the server is alive."""

    live: bool


class Ready(msgspec.Struct):
    """Whether the server, or the model, takes requests."""

    ready: bool


class Inferred(msgspec.Struct):
    """The answer to ``infer``: its parameters hold the predictions' ids, and the arm."""

    model_name: str
    model_version: str
    parameters: dict[str, Any]
    outputs: list[Output]
    id: str = ""


class Rows(msgspec.Struct):
    """Rows of a request: an object of its columns each."""

    rows: list[dict[str, Any]]


class Predicted(msgspec.Struct):
    """The answer to ``predict``, in the order of the rows."""

    model: str
    predictions: list[dict[str, Any]]


class Explained(msgspec.Struct):
    """The answer to ``explain``: on the scale, base and contributions add up to the output."""

    model: str
    scale: str
    explanations: list[dict[str, Any]]


class Taken(msgspec.Struct):
    """The answer to ``feedback``: the ids of the statements."""

    model: str
    feedback: list[dict[str, str]]


class Invoked(msgspec.Struct):
    """The answer to ``/invocations``."""

    predictions: list[Any]
    prediction_ids: list[str | None]


class InvocationError(msgspec.Struct):
    """What is wrong, in MLflow's words."""

    error_code: str
    message: str


_TYPES: Final = (
    Error, Server, Models, Live, Ready, ModelMetadata, InferRequest, Inferred, Rows, Predicted,
    Explained, FeedbackRequest, Taken, Invoked, InvocationError,
)  # fmt: skip


@cache
def description(version: str) -> bytes:
    """Return the document."""
    _, components = msgspec.json.schema_components(
        _TYPES, ref_template="#/components/schemas/{name}"
    )
    document = {
        "openapi": "3.1.0",
        "info": {
            "title": "Onward gateway",
            "version": version,
            "description": "The Open Inference Protocol v2, and what Onward adds to it.",
        },
        "paths": _paths(),
        "components": {"schemas": components},
    }
    return msgspec.json.encode(document)


def _paths() -> dict[str, Any]:
    paths: dict[str, Any] = {
        "/v2": {"get": _get("The server's metadata.", Server)},
        "/v2/health/live": {"get": _get("Whether the server is alive.", Live)},
        "/v2/health/ready": {"get": _get("Whether it takes requests.", Ready)},
        "/v2/models": {"get": _get("The models that are served.", Models)},
        "/invocations": {"post": _invocations()},
        **{
            path: {"get": {"summary": about, "responses": {"200": _content(kind)}}}
            for path, about, kind in (
                ("/ping", "MLflow's word for ready.", JSON),
                ("/health", "The same.", JSON),
                ("/version", "The gateway's version.", "text/plain; charset=utf-8"),
                (
                    "/metrics",
                    "Counters, for Prometheus.",
                    "text/plain; version=0.0.4; charset=utf-8",
                ),
                ("/routes", "Which version gets what share of each model's traffic.", JSON),
            )
        },
    }
    for place, names in (("", ("model",)), ("/versions/{version}", ("model", "version"))):
        base = "/v2/models/{model}" + place
        given = [_parameter(name) for name in names]
        asked: dict[str, Any] = {
            "": {"get": _get("The model's inputs and outputs.", ModelMetadata)},
            "/ready": {"get": _get("Whether the model takes requests.", Ready)},
            "/infer": {"post": _infer()},
            "/predict": {"post": _post("Predict rows; features are looked up.", Rows, Predicted)},
            "/explain": {"post": _post("Explain predictions of rows.", Rows, Explained)},
        }
        if not place:
            told = "Tell what became known about predictions."
            asked["/feedback"] = {"post": _post(told, FeedbackRequest, Taken)}
        for tail, methods in asked.items():
            paths[base + tail] = {"parameters": given, **methods}
    return paths


def _get(about: str, answer: type) -> dict[str, Any]:
    return {"summary": about, "responses": _responses(answer)}


def _post(about: str, asked: type, answer: type) -> dict[str, Any]:
    body = {"required": True, "content": {JSON: {"schema": _ref(asked)}}}
    return {"summary": about, "requestBody": body, "responses": _responses(answer)}


def _infer() -> dict[str, Any]:
    found = _post("Predict tensors.", InferRequest, Inferred)
    length = {"Inference-Header-Content-Length": {"schema": {"type": "integer", "minimum": 1}}}
    found["requestBody"]["description"] = (
        f"Tensors may come as bytes after the JSON, as {BYTES}, with the header"
        " Inference-Header-Content-Length: the protocol's binary tensor data extension."
    )
    found["responses"]["200"]["headers"] = length
    found["responses"]["200"]["content"][BYTES] = {}
    return found


def _invocations() -> dict[str, Any]:
    model = {"name": "model", "in": "query", "required": False, "schema": {"type": "string"}}
    body = {JSON: {"schema": {"type": "object"}}, "text/csv": {"schema": {"type": "string"}}}
    return {
        "summary": "Predict a table, as MLflow's scoring server does.",
        "parameters": [model],
        "requestBody": {"required": True, "content": body},
        "responses": _responses(Invoked, InvocationError),
    }


def _responses(answer: type, error: type = Error) -> dict[str, Any]:
    return {
        "200": _content(JSON, answer),
        "4XX": _content(JSON, error),
        "5XX": _content(JSON, error),
    }


def _content(kind: str, answer: type | None = None) -> dict[str, Any]:
    schema = {} if answer is None else {"schema": _ref(answer)}
    about = (answer.__doc__ or "").strip() if answer is not None else "The answer."
    return {"description": about, "content": {kind: schema}}


def _ref(kind: type) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{kind.__name__}"}


def _parameter(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
