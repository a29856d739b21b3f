"""MLServer with its scikit-learn runtime: in process with one worker, else its own processes."""

from __future__ import annotations

import json
import socket
from pathlib import Path

from bench._model import NAME, become, given, read_estimator


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


if __name__ == "__main__":
    import joblib

    told = given()
    folder = Path(f"{told.model}.mlserver-{told.port}")
    folder.mkdir()
    joblib.dump(read_estimator(told.model), folder / "model.joblib")
    model = {
        "name": NAME,
        "implementation": "mlserver_sklearn.SKLearnModel",
        "parameters": {"uri": "./model.joblib"},
    }
    (folder / "model-settings.json").write_text(json.dumps(model))
    settings = {
        "host": "127.0.0.1",
        "http_port": told.port,
        "grpc_port": told.second_port,
        "metrics_port": free_port(),
        "parallel_workers": 0 if told.workers == 1 else told.workers,
        "debug": False,
    }
    (folder / "settings.json").write_text(json.dumps(settings))
    become(["-m", "mlserver.cli.main", "start", str(folder)])
