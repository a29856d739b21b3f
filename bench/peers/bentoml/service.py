"""The service that `bentoml serve` loads."""

from __future__ import annotations

import os
from typing import Any

import bentoml

from bench._model import infer, read_estimator


@bentoml.service(workers=int(os.environ["WORKERS"]), logging={"access": {"enabled": False}})
class Scorer:
    def __init__(self) -> None:
        self.estimator = read_estimator(os.environ["MODEL"])

    @bentoml.api(route="/infer")
    def infer(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        return infer(self.estimator, inputs)
