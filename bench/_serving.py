"""Servers side by side: each started in its own environment, asked the same, its answers checked.

A contestant that is not installed, does not start, or answers otherwise than the model itself is
said to, and the others go on.
"""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from bench._contest import ROOT, AbsentError, interpreter
from bench._model import NAME
from bench._processes import end
from bench._ways import Rest, Rpc, Way, invocations, open_inference_both, predictions

PATIENCE_S: Final = 120.0
_MODEL: Final = f"/v2/models/{NAME}/infer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contestant:
    """A server: ``bench.peers.<peer>.serve`` in its environment, and how it is asked.

    Parameters
    ----------
    target
        How many times its CPU per request is ours to be, one row at 64 connections over REST; so
        requests/s.
    ways
        The protocols that it speaks; the first is on its first port, the next on its second.
    more
        Further words of its command line.
    limit
        Whether it is no server to be beaten, but what the least costs.
    """

    name: str
    peer: str
    ways: Sequence[Way] = (Rest(),)
    target: float | None = None
    more: Sequence[str] = ()
    limit: bool = False


CONTESTANTS: Final = (
    Contestant(name="socket echo", peer="echo", ways=(Rest(path="/", reads=None),), limit=True),
    Contestant(name="Starlette", peer="starlette", limit=True),
    Contestant(name="FastAPI, async def", peer="fastapi", more=("async",)),
    Contestant(name="FastAPI", peer="fastapi", more=("def",), target=10),
    Contestant(name="LitServe", peer="litserve", target=1),
    Contestant(
        name="MLServer", peer="mlserver", target=25,
        ways=(Rest(path=_MODEL, body=open_inference_both), Rpc(outputs=("predict_proba",))),
    ),
    Contestant(name="KServe", peer="kserve", target=25, ways=(Rest(path=_MODEL), Rpc())),
    Contestant(
        name="MLflow", peer="mlflow", target=40,
        ways=(Rest(path="/invocations", body=invocations, reads=predictions),),
    ),
    Contestant(name="BentoML", peer="bentoml", target=40),
    Contestant(name="Ray Serve", peer="ray_serve", target=80),
    Contestant(
        name="grpcio echo", peer="grpcio", more=("echo",), ways=(Rpc(echoes=True),), limit=True
    ),
    Contestant(name="grpcio by hand", peer="grpcio", more=("infer",), ways=(Rpc(),)),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Running:
    """A server under way: where it is asked, by the name of the way, and whose tree it is."""

    contestant: Contestant
    addresses: Mapping[str, str]
    pid: int

    def check(self, way: Way, rows: np.ndarray, expected: np.ndarray) -> None:
        """Ask once and compare, to nine digits.

        Raises
        ------
        AbsentError
            It refuses, or answers something else.
        """
        try:
            found = way.ask(self.addresses[way.name], rows)
        except OSError as error:
            raise AbsentError(f"does not answer: {error}") from None
        if found is None:
            return
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
    python, ports = interpreter(module), (free_port(), free_port())
    command = [str(python), "-m", module, str(model), *map(str, ports), str(workers)]
    log = model.with_name(f"{contestant.peer}-{ports[0]}.log")
    with log.open("w") as told:
        process = subprocess.Popen(
            [*command, *contestant.more],
            cwd=ROOT, stdin=subprocess.DEVNULL, stdout=told, stderr=told,
            env=_environment(python.parent),
        )  # fmt: skip
    try:
        addresses = {}
        for way, port in zip(contestant.ways, ports, strict=False):
            addresses[way.name] = way.address(port)
            _wait(process, way, addresses[way.name], rows, log)
        yield Running(contestant, addresses, process.pid)
    finally:
        end(process.pid)
        process.wait()


def _environment(programs: Path) -> dict[str, str]:
    """Return ours, with one thread for linear algebra, the peer's programs, not our packages."""
    threads = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return {**kept, **dict.fromkeys(threads, "1"), "PATH": f"{programs}:{kept['PATH']}"}


def _wait(
    process: subprocess.Popen[bytes], way: Way, address: str, rows: np.ndarray, log: Path
) -> None:
    deadline = time.monotonic() + PATIENCE_S
    said = "nothing listens"
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise AbsentError(f"did not start: {_last(log) or process.returncode}")
        try:
            way.ask(address, rows)
        except OSError:
            pass
        except AbsentError as refused:
            said = f"it {refused}"
        else:
            return
        time.sleep(0.1)
    raise AbsentError(f"not ready in {PATIENCE_S:g} s: {said}; {_last(log)}")


def _last(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines()]
    return next((line for line in reversed(lines) if line), "")


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port
