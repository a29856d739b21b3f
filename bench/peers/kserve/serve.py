"""KServe's Python model server with a model of our own."""

from __future__ import annotations

from typing import Any

import kserve

from bench._model import NAME, given, read_estimator


class Scorer(kserve.Model):
    def __init__(self, path: str) -> None:
        super().__init__(NAME)
        self._path = path

    def load(self) -> bool:
        self.estimator = read_estimator(self._path)
        self.ready = True
        return True

    def predict(self, payload: Any, headers: Any = None, response_headers: Any = None) -> Any:  # noqa: ARG002 (KServe's)
        found = self.estimator.predict_proba(payload.inputs[0].as_numpy())[:, 1]
        output = kserve.InferOutput("probability", list(found.shape), "FP64")
        output.set_data_from_numpy(found, binary_data=False)
        return kserve.InferResponse(payload.id or "", NAME, [output])


if __name__ == "__main__":
    told = given()
    scorer = Scorer(told.model)
    scorer.load()
    kserve.ModelServer(
        http_port=told.port, grpc_port=told.second_port, workers=told.workers,
        access_log_format=None,
    ).start([scorer])  # fmt: skip
