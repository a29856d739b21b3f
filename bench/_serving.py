"""Servers side by side: each started in its own environment, asked the same, its answers checked.

A contestant that is not installed, does not start, or answers otherwise than the model itself is
said to, and the others go on.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from bench._contest import ROOT, AbsentError, interpreter
from bench._model import NAME
from bench._processes import end

PATIENCE_S: Final = 120.0
_MODEL: Final = f"/v2/models/{NAME}/infer"


def open_inference(rows: np.ndarray) -> bytes:
    """Return a request of the Open Inference Protocol: all rows as one tensor."""
    tensor = {"name": "input", "shape": [*rows.shape], "datatype": "FP64", "data": flat(rows)}
    return json.dumps({"inputs": [tensor]}).encode()


def open_inference_both(rows: np.ndarray) -> bytes:
    """The same, asking MLServer for probabilities, which it gives for both classes."""
    asked = json.loads(open_inference(rows)) | {"outputs": [{"name": "predict_proba"}]}
    return json.dumps(asked).encode()


def invocations(rows: np.ndarray) -> bytes:
    """Return a request to MLflow's scoring server."""
    return json.dumps({"inputs": rows.tolist()}).encode()


def flat(rows: np.ndarray) -> list[float]:
    return [float(value) for value in rows.ravel()]


def first_output(answer: Any) -> np.ndarray:
    found = answer["outputs"][0]
    return np.array(found["data"]).reshape(found["shape"])


def predictions(answer: Any) -> np.ndarray:
    return np.array(answer["predictions"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Contestant:
    """A server: ``bench.peers.<peer>.serve`` in its environment, and how it is asked.

    Parameters
    ----------
    target
        How many times its CPU per request is ours to be, one row at 64 connections; so requests/s.
    reads
        Gets the probabilities out of its answer; None for a limit that predicts nothing.
    """

    name: str
    peer: str
    target: float | None = None
    path: str = "/infer"
    body: Callable[[np.ndarray], bytes] = open_inference
    reads: Callable[[Any], np.ndarray] | None = first_output
    more: Sequence[str] = ()


CONTESTANTS: Final = (
    Contestant(name="socket echo", peer="echo", path="/", reads=None),
    Contestant(name="Starlette", peer="starlette"),
    Contestant(name="FastAPI, async def", peer="fastapi", more=("async",)),
    Contestant(name="FastAPI", peer="fastapi", more=("def",), target=10),
    Contestant(name="LitServe", peer="litserve", target=1),
    Contestant(
        name="MLServer", peer="mlserver", target=25, path=_MODEL, body=open_inference_both
    ),
    Contestant(name="KServe", peer="kserve", target=25, path=_MODEL),
    Contestant(
        name="MLflow", peer="mlflow", target=40, path="/invocations", body=invocations,
        reads=predictions,
    ),
    Contestant(name="BentoML", peer="bentoml", target=40),
    Contestant(name="Ray Serve", peer="ray_serve", target=80),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Running:
    """A server under way: whom to ask, and the process whose tree it is."""

    contestant: Contestant
    url: str
    pid: int

    def check(self, rows: np.ndarray, expected: np.ndarray) -> None:
        """Ask once and compare, to nine digits.

        Raises
        ------
        AbsentError
            It refuses, or answers something else.
        """
        status, answer = ask(self.url, self.contestant.body(rows))
        if status != 200:
            raise AbsentError(f"answers {status}: {answer[:200].decode(errors='replace')}")
        if self.contestant.reads is None:
            return
        found = self.contestant.reads(json.loads(answer))
        found = found[:, 1] if found.ndim == 2 and found.shape[1] == 2 else found.ravel()
        if found.shape != expected.shape or not np.allclose(found, expected, rtol=1e-9):
            raise AbsentError(f"answers {found[:3]} …, where the model says {expected[:3]} …")


@contextmanager
def started(
    contestant: Contestant, model: Path, workers: int, rows: np.ndarray
) -> Iterator[Running]:
    """Run a server until the block ends; it answers when the block begins.

    Raises
    ------
    AbsentError
        It is not installed, or does not answer within two minutes.
    """
    module = f"bench.peers.{contestant.peer}.serve"
    python, port = interpreter(module), free_port()
    command = [str(python), "-m", module, str(model), str(port)]
    log = model.with_name(f"{contestant.peer}-{port}.log")
    with log.open("w") as told:
        process = subprocess.Popen(
            [*command, str(workers), *contestant.more],
            cwd=ROOT, stdin=subprocess.DEVNULL, stdout=told, stderr=told,
            env=_environment(python.parent),
        )  # fmt: skip
    try:
        url = f"http://127.0.0.1:{port}{contestant.path}"
        _wait(process, url, contestant.body(rows), log)
        yield Running(contestant, url, process.pid)
    finally:
        end(process.pid)
        process.wait()


def _environment(programs: Path) -> dict[str, str]:
    """Return ours, with one thread for linear algebra, the peer's programs, not our packages."""
    threads = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return {**kept, **dict.fromkeys(threads, "1"), "PATH": f"{programs}:{kept['PATH']}"}


def _wait(process: subprocess.Popen[bytes], url: str, body: bytes, log: Path) -> None:
    deadline = time.monotonic() + PATIENCE_S
    said = "nothing listens"
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise AbsentError(f"did not start: {_last(log) or process.returncode}")
        try:
            status, _ = ask(url, body)
        except OSError:
            time.sleep(0.1)
            continue
        if status == 200:
            return
        said = f"it answers {status}"
        time.sleep(0.1)
    raise AbsentError(f"not ready in {PATIENCE_S:g} s: {said}; {_last(log)}")


def _last(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines()]
    return next((line for line in reversed(lines) if line), "")


def ask(url: str, body: bytes, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
    """POST JSON once; return the status and the answer."""
    where, _, path = url.removeprefix("http://").partition("/")
    connection = http.client.HTTPConnection(where, timeout=30)
    try:
        sent = {"Content-Type": "application/json", **(headers or {})}
        connection.request("POST", f"/{path}", body, sent)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except http.client.HTTPException as error:
        raise ConnectionError(str(error)) from error
    finally:
        connection.close()


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port
