"""Workers that stand still are replaced; gRPC's clients of one that leaves are sent elsewhere."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import httpx
import pytest
import trained_models as small
from gateway_site import board, free_port, ready, routes_of, serving
from rpc_calls import matrix

from onward.stages.deploy.step import package
from onward.stages.serve.gateway.limits import Limits
from onward.stages.serve.gateway.process.supervisor import Process, Supervisor
from onward.stages.serve.gateway.rpc.proto import messages as pb
from onward.stages.serve.log.reader import read


@pytest.mark.crash
def test_a_worker_that_hangs_is_replaced_and_its_stacks_are_told(tmp_path):
    gate = tmp_path / "gate"
    gate.touch()  # its golden rows are predicted at the start
    trained = small.train(tmp_path / "trained", small.Waiting(1.0, str(gate)))
    routes = routes_of((package(trained, folder=tmp_path / "images"), 100.0))
    with serving(tmp_path, routes, workers=2, limits=Limits(hang_s=2.0)) as site:
        log = tmp_path / "state/gateway.log"
        answered = [site.predict(small.rows(1, seed=n)).json() for n in range(10)]
        before = ready(site)
        gate.unlink()
        with pytest.raises(httpx.TransportError):  # what it had accepted is lost to its caller
            site.predict(small.rows(1))
        site.until(lambda: "has stood still for" in log.read_text())
        gate.touch()
        site.until(lambda: len(now := ready(site)) == 2 and now != before)
        assert sum(board(site)[1].restarts.values()) >= 1
        assert site.predict(small.rows(1)).status_code == 200
        said = log.read_text()
    assert "in predict_proba" in said
    assert "ended: SIGKILL" in said
    logged = {p.id for p in read(tmp_path / "predictions")[0]}
    assert {entry["id"] for each in answered for entry in each["predictions"]} <= logged


@pytest.mark.crash
def test_a_worker_alone_that_hangs_ends_and_loses_nothing_that_it_answered(tmp_path):
    gate = tmp_path / "gate"
    gate.touch()
    trained = small.train(tmp_path / "trained", small.Waiting(1.0, str(gate)))
    routes = routes_of((package(trained, folder=tmp_path / "images"), 100.0))
    with serving(tmp_path, routes, limits=Limits(hang_s=2.0)) as site:
        answered = [site.predict(small.rows(1, seed=n)).json() for n in range(10)]
        gate.unlink()
        with pytest.raises(httpx.TransportError):
            site.predict(small.rows(1))
        site.until(lambda: not site.server.alive())
        said = (tmp_path / "state/gateway.log").read_text()
    assert "in predict_proba" in said
    logged = {p.id for p in read(tmp_path / "predictions")[0]}
    assert {entry["id"] for each in answered for entry in each["predictions"]} <= logged


WATCHED = """
import asyncio, sys, time
from onward.stages.serve.gateway.process.watchdog import watched

async def work(hang_s, turning_s, still_s):
    with watched(hang_s):
        await asyncio.sleep(turning_s)
        time.sleep(still_s)
    time.sleep(still_s)  # nobody watches any more

asyncio.run(work(*map(float, sys.argv[1:])))
"""


@pytest.mark.parametrize(
    ("hang_s", "turning_s", "still_s", "status"),
    [(4.0, 5.0, 0.0, 0), (0.2, 0.0, 600.0, 1), (0.0, 0.0, 0.5, 0)],
    ids=["turns", "stands still", "unwatched"],
)
def test_only_a_loop_that_stands_still_is_ended(hang_s, turning_s, still_s, status):
    words = [sys.executable, "-c", WATCHED, *map(str, (hang_s, turning_s, still_s))]
    ended = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == status, ended.stderr
    assert ("in work" in ended.stderr) == bool(status)


def test_who_slept_with_the_machine_is_not_taken_for_hanging(tmp_path):
    async def seen(*, looked_s: float) -> bool:
        """Whether a worker silent for a minute is ended, `looked_s` after the last look."""
        config = serving(tmp_path, workers=2).config
        supervisor = Supervisor(config, tmp_path / "gateway.json")
        sent: list[int] = []
        process: Any = SimpleNamespace(pid=1, send_signal=sent.append, kill=lambda: sent.append(9))
        silent = Process("0-a", 0, process, Any)  # type: ignore[arg-type]  # it is told nothing
        silent.ready.set()
        now = time.monotonic()
        silent.heard, supervisor._looked = now - 60, now - looked_s
        supervisor._processes.add(silent)
        supervisor._look()
        await asyncio.gather(*supervisor._tasks)
        assert sent in ([], [signal.SIGUSR1, 9])
        return bool(sent)

    assert asyncio.run(seen(looked_s=0.25))
    assert not asyncio.run(seen(looked_s=60.0))


def test_grpc_clients_that_keep_calling_lose_nothing_while_workers_are_renewed(tmp_path, image):
    port = free_port()
    failed: list[Any] = []
    answered = [0] * 3
    done = threading.Event()

    def call(number: int) -> None:
        own = [("grpc.use_local_subchannel_pool", 1)]
        with grpc.insecure_channel(f"127.0.0.1:{port}", options=own) as channel:
            infer = channel.unary_unary(
                "/inference.GRPCInferenceService/ModelInfer",
                request_serializer=pb.ModelInferRequest.SerializeToString,
                response_deserializer=pb.ModelInferResponse.FromString,
            )
            while not done.is_set():
                try:
                    calls = [infer.future(matrix(), timeout=30) for _ in range(1 + number)]
                    for each in calls:
                        each.result()
                        answered[number] += 1
                except grpc.RpcError as error:
                    failed.append((error.code(), error.details()))

    routes = routes_of((image("plain"), 100.0))
    with serving(tmp_path, routes, workers=2, grpc_port=port) as site:
        before = ready(site)
        callers = [threading.Thread(target=call, args=(number,)) for number in range(3)]
        for caller in callers:
            caller.start()
        site.until(lambda: min(answered) > 5)
        os.kill(site.server.pid, signal.SIGHUP)
        log = Path(tmp_path / "state/gateway.log")
        site.until(lambda: "every worker is new" in log.read_text(), 60)
        mark = sum(answered)
        site.until(lambda: sum(answered) > mark + 20)
        done.set()
        for caller in callers:
            caller.join()
        assert not set(ready(site).values()) & set(before.values())
    assert failed == []
