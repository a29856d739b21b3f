"""The model that every server holds, and how it is asked: Open Inference Protocol JSON.

Peers' servers import this in their own environments: a logistic regression is its coefficients, so
that no version of scikit-learn has to read another's pickles. Started as `python -m
bench.peers.<peer>.serve MODEL PORT SECOND_PORT WORKERS`.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NAME = "m"


@dataclass(frozen=True, slots=True)
class Given:
    """What a server is told: the model's file, ports on the loopback, how many workers.

    The second port is for one that speaks gRPC beside HTTP. `more` are the words that follow.
    """

    model: str
    port: int
    second_port: int
    workers: int
    more: tuple[str, ...]


def given() -> Given:
    """Return what this process was told on its command line."""
    model, port, second_port, workers, *more = sys.argv[1:]
    return Given(model, int(port), int(second_port), int(workers), tuple(more))


def become(command: list[str]) -> None:
    """Replace this process by a peer's own command line, run by the same Python."""
    os.execv(sys.executable, [sys.executable, *command])


def write_estimator(estimator: Any, path: Path) -> None:
    """Write a fitted binary logistic regression as JSON."""
    path.write_text(
        json.dumps({"coef": estimator.coef_.tolist(), "intercept": estimator.intercept_.tolist()})
    )


def read_estimator(path: str) -> Any:
    """Return the `LogisticRegression` whose coefficients a file holds."""
    import numpy as np
    from sklearn.linear_model import LogisticRegression

    found = json.loads(Path(path).read_text())
    estimator = LogisticRegression()
    estimator.classes_ = np.array([False, True])
    estimator.coef_, estimator.intercept_ = np.array(found["coef"]), np.array(found["intercept"])
    estimator.n_features_in_ = estimator.coef_.shape[1]
    return estimator


def infer(estimator: Any, inputs: list[dict[str, Any]]) -> dict[str, Any]:
    """Answer one request's `inputs`, a matrix as one tensor, with the class's probabilities."""
    import numpy as np

    tensor = inputs[0]
    rows = np.array(tensor["data"]).reshape(tensor["shape"])
    found = estimator.predict_proba(rows)[:, 1]
    output = {
        "name": "probability",
        "shape": [len(found)],
        "datatype": "FP64",
        "data": found.tolist(),
    }
    return {"model_name": NAME, "outputs": [output]}
