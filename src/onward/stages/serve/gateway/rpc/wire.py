"""How an inference call is written in gRPC: the protocol's messages, to calls and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from google.protobuf.message import DecodeError

from onward.core.errors import DataError
from onward.stages.serve.gateway.protocol.inference import InferCall, Output, Wanted
from onward.stages.serve.gateway.protocol.tensors import (
    BinaryTensor,
    Input,
    ListTensor,
    write_binary,
)
from onward.stages.serve.gateway.rpc.proto import messages

_FIELDS: Final = {
    "BOOL": "bool_contents", "BYTES": "bytes_contents",
    "INT8": "int_contents", "INT16": "int_contents", "INT32": "int_contents",
    "INT64": "int64_contents", "UINT8": "uint_contents", "UINT16": "uint_contents",
    "UINT32": "uint_contents", "UINT64": "uint64_contents",
    "FP32": "fp32_contents", "FP64": "fp64_contents",
}  # fmt: skip
"""Which of a message's lists holds the elements of a datatype; FP16 has none."""


def parse(body: bytes) -> Any:
    """Read a request.

    Raises
    ------
    DataError
        The bytes are no such message.
    """
    request = messages.ModelInferRequest()
    try:
        request.ParseFromString(body)
    except DecodeError as error:
        raise DataError(f"the message is no ModelInferRequest: {error}") from None
    return request


def read(request: Any) -> InferCall:
    """Return what a request asks.

    Raises
    ------
    DataError
        Its raw contents are not one for each input, or an input's elements are not where its
        datatype has them.
    """
    raw = request.raw_input_contents
    inputs: list[Input] = []
    if raw:
        if len(raw) != len(request.inputs) or any(t.HasField("contents") for t in request.inputs):
            raise DataError(
                f"there are {len(request.inputs)} inputs and {len(raw)} raw contents",
                expected="raw_input_contents for each input, and contents in none",
            )
        for tensor, data in zip(request.inputs, raw, strict=True):
            inputs.append(BinaryTensor(tensor.name, list(tensor.shape), tensor.datatype, data))
    else:
        inputs += [_typed(tensor) for tensor in request.inputs]
    wanted = [Wanted(each.name, _plain(each.parameters)) for each in request.outputs]
    return InferCall(request.id, inputs, wanted, _plain(request.parameters))


def _typed(tensor: Any) -> ListTensor:
    field = _FIELDS.get(tensor.datatype)
    filled = [descriptor.name for descriptor, _ in tensor.contents.ListFields()]
    if field is None or filled not in ([field], []):
        raise DataError(
            f"input {tensor.name!r} of datatype {tensor.datatype!r} has its elements in "
            f"{', '.join(filled) or 'nothing'}",
            expected=field or "raw_input_contents",
        )
    values = getattr(tensor.contents, field)
    return ListTensor(tensor.name, list(tensor.shape), tensor.datatype, values)


def write(
    outputs: Sequence[Output],
    *,
    model: str,
    version: int,
    id: str,
    parameters: Mapping[str, Any],
    raw: bool,
) -> bytes:
    """Return the answer as bytes, its elements as raw contents or as typed ones."""
    answer = messages.ModelInferResponse(model_name=model, model_version=str(version), id=id)
    for name, value in parameters.items():
        answer.parameters[name].CopyFrom(_parameter(value))
    for output in outputs:
        tensor = answer.outputs.add(name=output.name, datatype=output.datatype, shape=output.shape)
        if raw:
            answer.raw_output_contents.append(write_binary(output.datatype, output.data))
            continue
        values = output.data
        if output.datatype == "BYTES":
            values = [str(value).encode() for value in values]
        getattr(tensor.contents, _FIELDS[output.datatype]).extend(values)
    written: bytes = answer.SerializeToString()
    return written


def _plain(parameters: Mapping[str, Any]) -> dict[str, Any]:
    found = {}
    for name, parameter in parameters.items():
        choice = parameter.WhichOneof("parameter_choice")
        found[name] = None if choice is None else getattr(parameter, choice)
    return found


def _parameter(value: Any) -> Any:
    if isinstance(value, bool):
        return messages.InferParameter(bool_param=value)
    if isinstance(value, int):
        if value >= 2**63:
            return messages.InferParameter(uint64_param=value)
        return messages.InferParameter(int64_param=value)
    if isinstance(value, float):
        return messages.InferParameter(double_param=value)
    return (
        messages.InferParameter() if value is None else messages.InferParameter(string_param=value)
    )
