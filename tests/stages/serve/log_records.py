"""Records of the prediction log, made in small."""

from __future__ import annotations

import math

import numpy as np

from onward.stages.serve.log.segment import Batch, Feedback, Header

HEADER = Header(
    model="m",
    version=3,
    image="sha256:1",
    release="release:m@3.1",
    arm="champion",
    request=("order", "amount"),
    features=("amount", "day", "rate"),
    strings=(1,),
    width=1,
)
WIDE = Header(
    model="m",
    version=4,
    image="sha256:2",
    release="release:m@3.1",
    arm="candidate",
    request=("order",),
    features=("amount",),
    strings=(),
    width=3,
)


def batch(n: int, first: int = 0) -> Batch:
    values = np.array([[first + i, math.nan, 0.5] for i in range(n)])
    return Batch(
        header=0,
        at=[1_000_000 * (first + i) for i in range(n)],
        unit=[f"u{first + i}" for i in range(n)],
        status=[200] * n,
        latency_us=[7] * n,
        requests=[(f"o{first + i}", first + i) for i in range(n)],
        features=values.tobytes(),
        strings=[("mon",)] * n,
        output=np.arange(first, first + n, dtype=float).tobytes(),
        errors=None,
    )


def wide(n: int) -> Batch:
    return Batch(
        header=0,
        at=[0] * n,
        unit=["w"] * n,
        status=[200] * (n - 1) + [500],
        latency_us=[1] * n,
        requests=[None] * n,
        features=np.zeros((n, 1)).tobytes(),
        strings=None,
        output=np.array([[0.2, 0.3, 0.5]] * (n - 1) + [[math.nan] * 3]).tobytes(),
        errors=[None] * (n - 1) + ["ValueError: no"],
    )


def feedback(prediction: str, value: float | str, name: str = "label") -> Feedback:
    return Feedback([2_000_000], ["m"], [prediction], [name], [value])
