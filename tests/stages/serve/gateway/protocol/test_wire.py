"""Inference requests in JSON: a shorter way to read them reads what the longer one does."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onward.core.errors import DataError
from onward.stages.serve.gateway.protocol import wire
from onward.stages.serve.gateway.protocol.tensors import DoublesTensor, JsonTensor

numbers = st.none() | st.floats(allow_nan=False, allow_infinity=False) | st.integers()
doubles = st.lists(numbers, min_size=1, max_size=6)


@st.composite
def requests(draw: st.DrawFn) -> dict[str, Any]:
    data = draw(st.lists(st.tuples(doubles, st.booleans()), min_size=1, max_size=3))
    tensors = [
        {
            "name": f"x{i}",
            "shape": [1, len(values)],
            "datatype": "FP64",
            "data": [values] if nested else values,
        }
        for i, (values, nested) in enumerate(data)
    ]
    more = draw(st.sampled_from([{}, {"id": "u1"}, {"parameters": {"a": 1}}]))
    outputs = draw(st.sampled_from([{}, {"outputs": [{"name": "label"}]}]))
    return {"inputs": tensors, **more, **outputs}


@given(requests())
def test_both_ways_read_the_same(request: dict[str, Any]) -> None:
    body = json.dumps(request).encode()
    found = wire.read(body, {})
    whole = msgspec.json.decode(body, type=wire.InferRequest)
    assert (found.id, found.parameters, found.outputs) == (
        whole.id,
        whole.parameters,
        whole.outputs,
    )
    flat = not any(isinstance(tensor["data"][0], list) for tensor in request["inputs"])
    assert all(isinstance(tensor, DoublesTensor) is flat for tensor in found.inputs)
    for tensor, other in zip(found.inputs, whole.inputs, strict=True):
        assert (tensor.name, tensor.shape, tensor.datatype) == (
            other.name,
            other.shape,
            other.datatype,
        )
        assert list(tensor.floats()) == list(other.floats())


def test_tensors_of_other_datatypes_are_read_as_what_they_are():
    beside = {"name": "t", "shape": [1], "datatype": "BYTES", "data": ["red"]}
    whole = {"name": "n", "shape": [1], "datatype": "INT64", "data": [2**53 + 1]}
    first = {"name": "x", "shape": [1], "datatype": "FP64", "data": [0.5]}
    found = wire.read(json.dumps({"inputs": [first, beside, whole]}).encode(), {})
    assert all(isinstance(tensor, JsonTensor) for tensor in found.inputs)
    assert [*found.inputs[0].floats()] == [0.5]
    assert [*found.inputs[1].texts()] == ["red"]
    assert [*found.inputs[2].floats()] == [2**53 + 1]


def test_doubles_are_no_texts():
    [tensor] = wire.read(
        b'{"inputs":[{"name":"x","shape":[1],"datatype":"FP64","data":[1]}]}', {}
    ).inputs
    with pytest.raises(DataError, match="input 'x' holds what is not FP64"):
        tensor.texts()


@pytest.mark.parametrize("body", [b'{"inputs": "FP64"}', b'{"inputs": [{"datatype": "FP64"}]', b""])
def test_what_is_no_request_is_said_to_be_none(body: bytes) -> None:
    with pytest.raises(DataError, match="the body is no inference request"):
        wire.read(body, {})
