"""The Open Inference Protocol's inference call: tensors in, tensors out.

https://github.com/kserve/open-inference-protocol, version 2. A model's inputs are its features: one
tensor per column, named after it, of shape [n] or [n, 1]; or, where all are numbers, one tensor of
shape [n, n_features]. `wire.py` says how a call is written in JSON, `rpc/wire.py` how in gRPC.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from onward.core.errors import DataError, unknown_name
from onward.stages.serve.gateway.models.model import ServedModel
from onward.stages.serve.gateway.protocol.tensors import NUMBERS, Floats, Input

if TYPE_CHECKING:
    import numpy as np

OUTPUTS: Final = {
    "binary": ("probability", "label"),
    "multiclass": ("probabilities", "label"),
    "regression": ("prediction",),
}
"""The names of a task's outputs."""

Texts = list[tuple[str | None, ...]]


class Wanted(msgspec.Struct):
    """An output that the caller asks for."""

    name: str
    parameters: dict[str, Any] = {}


class InferCall(msgspec.Struct):
    """An inference request, whichever way it was written; without `outputs` it asks for all."""

    id: str
    inputs: Sequence[Input]
    outputs: Sequence[Wanted]
    parameters: Mapping[str, Any]


class Output(msgspec.Struct):
    """A tensor of the answer; `data` is its elements in row-major order."""

    name: str
    datatype: str
    shape: list[int]
    data: Any


def features(call: InferCall, model: ServedModel) -> tuple[int, Floats, Texts]:
    """Return the rows that the tensors hold: how many, their numbers row by row, their texts.

    Raises
    ------
    DataError
        A tensor is missing, unknown, or not of its column's type, the shapes do not fit, or there
        is no such output.
    """
    inputs = call.inputs
    for wanted in call.outputs:
        if wanted.name not in OUTPUTS[model.task]:
            what, expected = unknown_name("output", wanted.name, OUTPUTS[model.task])
            raise DataError(what, expected=expected)
    width = len(model.plan.columns)
    if len(inputs) == 1 and len(inputs[0].shape) == 2 and width != 1:
        tensor = inputs[0]
        n, columns = tensor.shape
        if model.strings or columns != width:
            raise DataError(
                f"input {tensor.name!r} has shape {tensor.shape}",
                expected="one tensor per column, as some hold text"
                if model.strings
                else f"[n, {width}]",
            )
        return _rows(tensor), _numbers(tensor), [()] * n
    return _columns(inputs, model)


def _columns(inputs: Sequence[Input], model: ServedModel) -> tuple[int, Floats, Texts]:
    named = {tensor.name: tensor for tensor in inputs}
    columns = model.plan.columns
    known = [c.name for c in columns]
    for name in named:
        if name not in known:
            what, expected = unknown_name("input", name, known)
            raise DataError(what, expected=expected)
    if len(named) != len(inputs):
        raise DataError("two inputs have one name", expected=f"one tensor for each of {known}")
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
    numbers: list[Floats] = []
    texts: list[Sequence[str | None]] = []
    for column in columns:
        if column.dtype == "string":
            texts.append(_texts(named[column.name]))
            numbers.append([None] * n)
        else:
            numbers.append(_numbers(named[column.name]))
    flat = [value for row in zip(*numbers, strict=True) for value in row]
    return n, flat, list(zip(*texts, strict=True)) if texts else [()] * n


def _rows(tensor: Input) -> int:
    if not tensor.shape or len(tensor.shape) > 2 or min(tensor.shape) < 1:
        raise DataError(
            f"input {tensor.name!r} has shape {tensor.shape}", expected="[n] or [n, columns], n ≥ 1"
        )
    return tensor.shape[0]


def _numbers(tensor: Input) -> Floats:
    if tensor.datatype not in NUMBERS:
        raise DataError(
            f"input {tensor.name!r} has datatype {tensor.datatype!r}",
            expected=f"one of {sorted(NUMBERS)}",
        )
    found = tensor.floats()
    _require_length(tensor, len(found))
    return found


def _texts(tensor: Input) -> Sequence[str | None]:
    if tensor.datatype != "BYTES":
        raise DataError(
            f"input {tensor.name!r} has datatype {tensor.datatype!r}",
            expected="BYTES, as the column holds text",
        )
    found = tensor.texts()
    _require_length(tensor, len(found))
    return found


def _require_length(tensor: Input, length: int) -> None:
    if length != math.prod(tensor.shape):
        raise DataError(
            f"input {tensor.name!r} has {length} elements",
            expected=f"{math.prod(tensor.shape)}, by its shape {tensor.shape}",
        )


def outputs(call: InferCall, model: ServedModel, found: np.ndarray) -> list[Output]:
    """Return the output tensors for (n, width) figures: those asked for, or all."""
    names: Sequence[str] = OUTPUTS[model.task]
    if call.outputs:
        names = [wanted.name for wanted in call.outputs]
    n, flat = len(found), found.ravel().tolist()
    return [
        Output(name, _label_type(model), [n], _labels(model, found, flat))
        if name == "label"
        else Output(name, "FP64", [n, model.width] if name == "probabilities" else [n], flat)
        for name in names
    ]


def _labels(model: ServedModel, found: np.ndarray, flat: list[float]) -> list[int] | list[str]:
    """Return each row's label: the likeliest; of two, the second from a probability of 0.5 on."""
    labels: Any = model.labels
    if model.width > 1:
        return [labels[i] for i in found.argmax(axis=1).tolist()]
    return [labels[p >= 0.5] for p in flat]


def label_of(model: ServedModel, figures: Sequence[float]) -> int | str:
    """Return the label of one row's (width,) figures."""
    labels: Sequence[int | str] = model.labels
    if model.width > 1:
        return labels[max(range(model.width), key=figures.__getitem__)]
    return labels[figures[0] >= 0.5]


def answers(model: ServedModel, found: np.ndarray, *, likelihoods: bool) -> list[Any]:
    """Return what scikit-learn's ``predict`` says of each row, or ``predict_proba``."""
    flat = found.ravel().tolist()
    if model.task == "regression":
        return flat
    if not likelihoods:
        return _labels(model, found, flat)
    return [[1 - p, p] for p in flat] if model.width == 1 else found.tolist()


def said(model: ServedModel, figures: list[float]) -> float | dict[str, float]:
    """Return one row's (width,) figures as rows are answered: of several classes, each by name."""
    return dict(zip(model.classes, figures, strict=True)) if model.classes else figures[0]


def _label_type(model: ServedModel) -> str:
    return "INT64" if model.labels and isinstance(model.labels[0], int) else "BYTES"


class TensorMetadata(msgspec.Struct):
    """What a tensor is called, what it holds, and its shape; -1 is any number of rows."""

    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(msgspec.Struct, omit_defaults=True):
    """The protocol's model metadata.

    A classifier's `properties` hold ``classes``: its labels in the order of their probabilities, as
    a JSON array, since the protocol's properties are text.
    """

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]
    properties: dict[str, str] = {}


def metadata(model: ServedModel, versions: Sequence[int]) -> ModelMetadata:
    """Return the protocol's model metadata: inputs are the plan's features, in order."""
    return ModelMetadata(
        name=model.name,
        versions=[str(v) for v in versions],
        platform="onward",
        inputs=[
            TensorMetadata(c.name, "BYTES" if c.dtype == "string" else "FP64", [-1])
            for c in model.plan.columns
        ],
        outputs=[
            TensorMetadata(
                name,
                _label_type(model) if name == "label" else "FP64",
                [-1, model.width] if name == "probabilities" else [-1],
            )
            for name in OUTPUTS[model.task]
        ],
        properties={"classes": msgspec.json.encode(model.labels).decode()} if model.labels else {},
    )
