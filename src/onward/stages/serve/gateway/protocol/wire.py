"""How an inference call is written over HTTP: JSON, and, where the caller wants, bytes after it.

The bytes are the binary tensor data extension, as Triton documents it: the header
``Inference-Header-Content-Length`` says where the JSON ends; after it come, in the order of the
JSON, the elements of each tensor that has the parameter ``binary_data_size``.
https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from onward.core.errors import DataError
from onward.stages.serve.gateway.protocol.http import Headers
from onward.stages.serve.gateway.protocol.inference import InferCall, Wanted
from onward.stages.serve.gateway.protocol.tensors import (
    BINARY_SIZE,
    BinaryTensor,
    DoublesTensor,
    Input,
    JsonTensor,
    write_binary,
)

JSON_LENGTH: Final = b"inference-header-content-length"
"""The header that says how many bytes of a body are JSON."""

BINARY: Final = "application/octet-stream"

_GLANCE: Final = 256
"""In how many of a body's first bytes the first tensor's datatype is looked for."""


class InferRequest(msgspec.Struct):
    """The body of an inference request."""

    inputs: list[JsonTensor]
    id: str = ""
    parameters: dict[str, Any] = {}
    outputs: list[Wanted] = []


class _DoublesRequest(InferCall, kw_only=True):
    """The same, where all tensors are of FP64 and flat, read as the call that it makes."""

    inputs: list[DoublesTensor]
    id: str = ""
    parameters: dict[str, Any] = msgspec.field(default_factory=dict)
    outputs: list[Wanted] = msgspec.field(default_factory=list)


_decode: Final = msgspec.json.Decoder(InferRequest).decode
_decode_doubles: Final = msgspec.json.Decoder(_DoublesRequest).decode
encode: Final = msgspec.json.Encoder().encode


def read(body: bytes, headers: Headers) -> InferCall:
    """Read a request.

    Raises
    ------
    DataError
        It is no inference request.
    """
    length = headers.get(JSON_LENGTH)
    if length is None and body.find(b'"FP64"', 0, _GLANCE) > 0:
        try:
            call: InferCall = _decode_doubles(body)
            return call
        except (msgspec.DecodeError, RecursionError):
            pass  # another kind of request, or none, which is told below
    binary = b""
    if length is not None:
        size = int(length) if length.isdigit() and len(length) < 16 else -1
        if not 0 < size <= len(body):
            raise DataError(
                f"Inference-Header-Content-Length is {length.decode('latin-1')!r}",
                expected=f"the length of the JSON at the body's beginning, at most {len(body)}",
            )
        body, binary = body[:size], body[size:]
    try:
        request = _decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise DataError(
            f"the body is no inference request: {error}",
            expected='{"inputs": [{"name", "shape", "datatype", "data"}, …]}',
        ) from None
    inputs: Sequence[Input] = request.inputs
    if length is not None:
        inputs = _with_binary(request.inputs, binary)
    return InferCall(request.id, inputs, request.outputs, request.parameters)


def _with_binary(tensors: Sequence[JsonTensor], data: bytes) -> list[Input]:
    """Give each tensor that has a `BINARY_SIZE` its bytes."""
    found: list[Input] = []
    at = 0
    for tensor in tensors:
        size = tensor.parameters.get(BINARY_SIZE)
        if size is None:
            found.append(tensor)
            continue
        if not isinstance(size, int) or isinstance(size, bool) or size < 0 or tensor.data:
            raise DataError(
                f"input {tensor.name!r} has {BINARY_SIZE} {size!r}"
                + (" and data" if tensor.data else ""),
                expected="how many bytes after the JSON are the tensor's, and no data in the JSON",
            )
        found.append(BinaryTensor(tensor.name, tensor.shape, tensor.datatype, data[at : at + size]))
        at += size
    if at != len(data):
        raise DataError(
            f"{len(data)} bytes follow the JSON",
            expected=f"{at}, by the tensors' {BINARY_SIZE}",
        )
    return found


class InferAnswer(msgspec.Struct, omit_defaults=True):
    """The body of an answer; an output whose bytes follow the JSON has none in it."""

    model_name: str
    model_version: str
    parameters: dict[str, Any]
    outputs: Sequence[Any]
    id: str = ""


def write(call: InferCall, answer: InferAnswer) -> tuple[bytes, int]:
    """Return the body, and the length of its JSON where bytes follow it, else 0."""
    if not (call.outputs or call.parameters):
        return encode(answer), 0
    default = call.parameters.get("binary_data_output", False)
    asked = [each.parameters.get("binary_data", default) for each in call.outputs]
    asked = asked or [default] * len(answer.outputs)
    shown: list[Any] = []
    tail: list[bytes] = []
    for output, binary in zip(answer.outputs, asked, strict=True):
        if binary is not True:
            shown.append(output)
            continue
        tail.append(write_binary(output.datatype, output.data))
        about = {"name": output.name, "datatype": output.datatype, "shape": output.shape}
        shown.append({**about, "parameters": {BINARY_SIZE: len(tail[-1])}})
    answer.outputs = shown
    body = encode(answer)
    return (body + b"".join(tail), len(body)) if tail else (body, 0)
