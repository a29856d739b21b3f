"""BentoML, as `bentoml serve` starts it."""

from __future__ import annotations

import os

from bench._model import become, given

if __name__ == "__main__":
    told = given()
    os.environ |= {"MODEL": told.model, "WORKERS": str(told.workers), "BENTOML_DO_NOT_TRACK": "1"}
    become(
        [
            *("-m", "bentoml", "serve", "bench.peers.bentoml.service:Scorer"),
            *("--host", "127.0.0.1", "--port", str(told.port)),
        ]
    )
