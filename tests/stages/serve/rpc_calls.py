"""Inference calls as gRPC has them."""

from __future__ import annotations

from typing import Any

import numpy as np

from onward.stages.serve.gateway.rpc.proto import messages as pb

ROWS = np.array([[0.1, 10.0, 20.0, 3.0, 12.0], [0.2, 5.0, 25.0, 3.2, 1.0]])


def tensor(name: str, shape: list[int], datatype: str, **contents: Any) -> Any:
    found = pb.InferInputTensor(name=name, shape=shape, datatype=datatype)
    if contents:
        found.contents.CopyFrom(pb.InferTensorContents(**contents))
    return found


def request(*inputs: Any, model: str = "returns", **extra: Any) -> Any:
    return pb.ModelInferRequest(model_name=model, inputs=inputs, **extra)


def matrix(**extra: Any) -> Any:
    values = ROWS.ravel().tolist()
    return request(tensor("input", [2, 5], "FP64", fp64_contents=values), **extra)
