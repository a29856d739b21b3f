"""Tensors: what a caller sends is the same numbers, whichever way it is written."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onward.core.errors import DataError
from onward.stages.serve.gateway.protocol.tensors import (
    NUMBERS,
    BinaryTensor,
    JsonTensor,
    ListTensor,
    write_binary,
)

TYPES = {name: np.dtype(code) for name, code in NUMBERS.items()}


def in_json(datatype: str, data: Any, shape: list[int] | None = None) -> JsonTensor:
    raw = msgspec.Raw(data if isinstance(data, bytes) else json.dumps(data).encode())
    return JsonTensor("x", shape or [1], datatype, raw)


@st.composite
def tensors(draw: st.DrawFn) -> tuple[str, np.ndarray]:
    datatype = draw(st.sampled_from(sorted(TYPES)))
    kind = TYPES[datatype]
    if kind.kind == "b":
        elements: st.SearchStrategy[Any] = st.booleans()
    elif kind.kind == "f":
        elements = st.floats(allow_nan=False, allow_infinity=False, width=kind.itemsize * 8)  # type: ignore[arg-type]
    else:
        bounds = np.iinfo(kind)
        elements = st.integers(int(bounds.min), int(bounds.max))
    return datatype, np.array(draw(st.lists(elements, min_size=1, max_size=9)), dtype=kind)


@given(tensors())
def test_json_bytes_and_lists_are_one_tensor(drawn):
    datatype, values = drawn
    n = len(values)
    wanted = values.astype(np.float64)
    for tensor in (
        in_json(datatype, values.tolist()),
        in_json(datatype, [[v] for v in values.tolist()], [n, 1]),
        BinaryTensor("x", [n], datatype, values.tobytes()),
        BinaryTensor("x", [n], datatype, write_binary(datatype, values.tolist())),
        ListTensor("x", [n], datatype, values.tolist()),
    ):
        assert np.array_equal(np.asarray(tensor.floats(), dtype=np.float64), wanted)


@given(st.lists(st.text(), min_size=1, max_size=9))
def test_texts_are_one_tensor(texts):
    data = write_binary("BYTES", texts)
    n = [len(texts)]
    assert in_json("BYTES", texts).texts() == texts
    assert in_json("BYTES", [[t] for t in texts]).texts() == texts
    assert BinaryTensor("x", n, "BYTES", data).texts() == texts
    assert ListTensor("x", n, "BYTES", [t.encode() for t in texts]).texts() == texts


def test_null_is_missing_and_numbers_are_what_the_datatype_can_hold():
    assert np.isnan(np.asarray(in_json("FP32", [None, 0.1]).floats())[0])
    assert in_json("FP32", [0.1]).floats()[0] == np.float32(0.1)
    assert in_json("FP16", [0.1]).floats()[0] == np.float16(0.1)
    assert in_json("FP64", [0.1]).floats()[0] == 0.1
    assert list(in_json("UINT8", [None, 255]).floats()) == [None, 255]
    assert list(BinaryTensor("x", [2], "BOOL", b"\0\2").floats()) == [0.0, 1.0]


@pytest.mark.parametrize(
    ("datatype", "data"),
    [
        ("UINT8", [256]), ("UINT8", [-1]), ("INT8", [128]), ("INT16", [2**15]), ("INT32", [2**31]),
        ("INT64", [2**63]), ("UINT64", [2**64]), ("UINT64", [-1]), ("INT32", [1.5]),
        ("INT32", [True]), ("BOOL", [1]), ("FP16", [1e6]), ("FP32", [1e39]), ("FP64", ["1"]),
        ("FP64", {"a": 1}), ("FP64", [1, [2]]), ("FP64", 3), ("FP64", b""), ("FP64", b"[1e999]"),
    ],
)  # fmt: skip
def test_what_a_datatype_cannot_hold_is_refused(datatype, data):
    with pytest.raises(DataError, match=r"input 'x' has no data|holds what is not"):
        in_json(datatype, data).floats()


def test_lists_that_do_not_fit_are_refused():
    with pytest.raises(DataError, match="what is not UINT8"):
        ListTensor("x", [1], "UINT8", [256]).floats()


@pytest.mark.parametrize("data", [b"\1\0", b"\5\0\0\0ab", b"\1\0\0\0\xff"])
def test_bytes_that_are_no_texts_are_refused(data):
    with pytest.raises(DataError, match=r"ends within an element|has an element"):
        BinaryTensor("x", [1], "BYTES", data).texts()


def test_bytes_that_are_no_numbers_are_refused():
    with pytest.raises(DataError, match="has 3 bytes"):
        BinaryTensor("x", [1], "INT16", b"abc").floats()
