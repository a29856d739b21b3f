"""The Open Inference Protocol's inference route: tensors in, tensors out.

https://github.com/kserve/open-inference-protocol, version 2, its REST form. A model's inputs are
its features: one tensor per column, named after it, of shape [n] or [n, 1]; or, where all are
numbers, one tensor of shape [n, n_features].
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from onward.core.errors import DataError, unknown_name
from onward.stages.serve.gateway.model import ServedModel

if TYPE_CHECKING:
    import numpy as np

_NUMBERS: Final = frozenset(
    {"BOOL", "FP16", "FP32", "FP64"}
    | {f"{u}INT{bits}" for u in ("", "U") for bits in (8, 16, 32, 64)}
)


class Tensor(msgspec.Struct):
    """An input: `data` is the elements in row-major order, flat or nested."""

    name: str
    shape: list[int]
    datatype: str
    data: msgspec.Raw


class Wanted(msgspec.Struct):
    """An output that the caller asks for."""

    name: str


class InferRequest(msgspec.Struct):
    """The body of an inference request. A null among numbers is a missing value."""

    inputs: list[Tensor]
    id: str = ""
    parameters: dict[str, Any] = {}
    outputs: list[Wanted] = []


_decode = msgspec.json.Decoder(InferRequest).decode
_floats = msgspec.json.Decoder(list[float | None]).decode
_texts = msgspec.json.Decoder(list[str | None]).decode


def decode(body: bytes) -> InferRequest:
    """Read a request.

    Raises
    ------
    DataError
        It is no inference request.
    """
    try:
        return _decode(body)
    except msgspec.DecodeError as error:
        raise DataError(
            f"the body is no inference request: {error}",
            expected='{"inputs": [{"name", "shape", "datatype", "data"}, …]}',
        ) from None


def features(
    request: InferRequest, model: ServedModel
) -> tuple[int, list[float | None], list[tuple[str | None, ...]]]:
    """Return the rows that the tensors hold: how many, their numbers row by row, their texts.

    Raises
    ------
    DataError
        A tensor is missing, unknown, or not of its column's type, or the shapes do not fit.
    """
    _require_outputs(request, model)
    width = len(model.plan.columns)
    if len(request.inputs) == 1 and len(request.inputs[0].shape) == 2 and width != 1:
        tensor = request.inputs[0]
        n, columns = tensor.shape
        if model.strings or columns != width:
            raise DataError(
                f"input {tensor.name!r} has shape {tensor.shape}",
                expected="one tensor per column, as some hold text"
                if model.strings
                else f"[n, {width}]",
            )
        return _rows(tensor), _data(tensor, text=False), [()] * n
    return _columns(request.inputs, model)


def _columns(
    inputs: Sequence[Tensor], model: ServedModel
) -> tuple[int, list[float | None], list[tuple[str | None, ...]]]:
    named = {tensor.name: tensor for tensor in inputs}
    columns = model.plan.columns
    known = [c.name for c in columns]
    for name in named:
        if name not in known:
            what, expected = unknown_name("input", name, known)
            raise DataError(what, expected=expected)
    if missing := [name for name in known if name not in named]:
        raise DataError(
            f"{len(missing)} inputs are missing, first {missing[0]!r}",
            expected=f"one tensor for each of: {', '.join(known)}",
        )  # fmt: skip
    rows = {_rows(tensor) for tensor in inputs}
    if len(rows) != 1 or any(len(t.shape) == 2 and t.shape[1] != 1 for t in inputs):
        shapes = ", ".join(f"{t.name} {t.shape}" for t in inputs)
        raise DataError(f"the inputs' shapes differ: {shapes}", expected="[n] or [n, 1] for each")
    [n] = rows
    numbers: list[Sequence[float | None]] = []
    texts: list[Sequence[str | None]] = []
    for column in columns:
        if column.dtype == "string":
            texts.append(_data(named[column.name], text=True))
            numbers.append([None] * n)
        else:
            numbers.append(_data(named[column.name], text=False))
    flat = [value for row in zip(*numbers, strict=True) for value in row]
    return n, flat, list(zip(*texts, strict=True)) if texts else [()] * n


def _rows(tensor: Tensor) -> int:
    if not tensor.shape or len(tensor.shape) > 2 or min(tensor.shape) < 1:
        raise DataError(
            f"input {tensor.name!r} has shape {tensor.shape}", expected="[n] or [n, columns], n ≥ 1"
        )
    return tensor.shape[0]


def _data(tensor: Tensor, *, text: bool) -> Any:
    if (tensor.datatype == "BYTES") is not text or not (text or tensor.datatype in _NUMBERS):
        raise DataError(
            f"input {tensor.name!r} has datatype {tensor.datatype!r}",
            expected="BYTES, as the column holds text" if text else f"one of {sorted(_NUMBERS)}",
        )
    try:
        data = _texts(tensor.data) if text else _floats(tensor.data)
    except msgspec.DecodeError:
        data = _nested(tensor, text=text)
    if len(data) != math.prod(tensor.shape):
        raise DataError(
            f"input {tensor.name!r} has {len(data)} elements",
            expected=f"{math.prod(tensor.shape)}, by its shape {tensor.shape}",
        )
    return data


def _nested(tensor: Tensor, *, text: bool) -> list[Any]:
    """Flatten nested lists, and take booleans for numbers where the datatype says so."""
    values = msgspec.json.decode(tensor.data)
    while isinstance(values, list) and any(isinstance(v, list) for v in values):
        if not all(isinstance(v, list) for v in values):
            break
        values = [element for part in values for element in part]
    kinds: tuple[type, ...] = (
        (str,) if text else (bool,) if tensor.datatype == "BOOL" else (float, int)
    )
    fits = isinstance(values, list) and all(
        v is None or (isinstance(v, kinds) and isinstance(v, bool) is (bool in kinds))
        for v in values
    )
    if not fits:
        raise DataError(
            f"input {tensor.name!r} holds what is not {tensor.datatype}",
            expected="a list of its elements, flat or nested by rows",
        )
    return values if text else [None if v is None else float(v) for v in values]


OUTPUTS: Final = {
    "binary": ("probability", "label"),
    "multiclass": ("probabilities", "label"),
    "regression": ("prediction",),
}
"""The names of a task's outputs."""


def _require_outputs(request: InferRequest, model: ServedModel) -> None:
    for wanted in request.outputs:
        if wanted.name not in OUTPUTS[model.task]:
            what, expected = unknown_name("output", wanted.name, OUTPUTS[model.task])
            raise DataError(what, expected=expected)


def outputs(request: InferRequest, model: ServedModel, found: np.ndarray) -> list[dict[str, Any]]:
    """Return the output tensors for (n, width) figures: those asked for, or all."""
    wanted = [w.name for w in request.outputs] or OUTPUTS[model.task]
    return [_output(name, model, found) for name in wanted]


def _output(name: str, model: ServedModel, found: np.ndarray) -> dict[str, Any]:
    n = len(found)
    if name == "label":
        likeliest = found.argmax(axis=1) if model.width > 1 else found[:, 0] >= 0.5
        labels = [model.labels[i] for i in likeliest.tolist()]
        return {"name": name, "datatype": _label_type(model), "shape": [n], "data": labels}
    shape = [n, model.width] if name == "probabilities" else [n]
    return {"name": name, "datatype": "FP64", "shape": shape, "data": found.ravel().tolist()}


def _label_type(model: ServedModel) -> str:
    return "INT64" if model.labels and isinstance(model.labels[0], int) else "BYTES"


def metadata(model: ServedModel, versions: Sequence[int]) -> dict[str, Any]:
    """Return the protocol's model metadata: inputs are the plan's features, in order."""
    return {
        "name": model.name,
        "versions": [str(v) for v in versions],
        "platform": "onward",
        "inputs": [
            {"name": c.name, "datatype": "BYTES" if c.dtype == "string" else "FP64", "shape": [-1]}
            for c in model.plan.columns
        ],
        "outputs": [
            {
                "name": name,
                "datatype": _label_type(model) if name == "label" else "FP64",
                "shape": [-1, model.width] if name == "probabilities" else [-1],
            }
            for name in OUTPUTS[model.task]
        ],
    }
