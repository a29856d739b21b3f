"""What one caller sends, or a fault of ours, leaves nobody without an answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trained_models as small
from gateway_site import routes_of

from onward.stages.deploy.step import package
from onward.stages.serve.gateway.admission.admission import Admission
from onward.stages.serve.gateway.features.online import Online
from onward.stages.serve.gateway.handlers.calls import Calls
from onward.stages.serve.gateway.limits import Limits
from onward.stages.serve.gateway.metrics.counters import Metrics
from onward.stages.serve.gateway.models.image import MODEL_FOLDER, unpack
from onward.stages.serve.gateway.models.model import load
from onward.stages.serve.gateway.routing.job import Job
from onward.stages.serve.gateway.routing.live import Live
from onward.stages.serve.gateway.turn.recorder import Recorder
from onward.stages.serve.gateway.turn.tick import Ticker
from onward.stages.serve.log.reader import read
from onward.stages.serve.log.writer import PredictionLog


class Store:
    """An online store that answers nonsense."""

    remote = False

    def read(self, lookups: Sequence[Any]) -> list[Any]:
        return []

    def close(self) -> None:
        """It holds nothing."""


class Client:
    """Keeps what it is answered."""

    def __init__(self) -> None:
        self.got: list[tuple[int, Any]] = []

    def answer(self, status: int, body: bytes, **_: object) -> None:
        self.got.append((status, json.loads(body)))

    def peer(self) -> str:
        return ""


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Live:
    """A model whose arms disagree on what `amount` is: it comes as it is."""
    folder: Path = tmp_path_factory.mktemp("failing")
    models, images = {}, []
    for version, dtype in ((1, "double"), (2, "decimal(9, 2)")):
        request = tuple(
            replace(c, dtype=dtype) if c.name == "amount" else c for c in small.PLAN.request
        )
        trained = small.train(
            folder / f"trained{version}",
            small.Linear(1.0),
            version=version,
            plan=replace(small.PLAN, request=request),
        )
        image = package(trained, folder=folder / f"images{version}")
        models[image.digest] = load((unpack(image, folder / "unpacked") / MODEL_FOLDER).parent)
        images.append(image)
    first, second = images
    return Live(routes_of((first, 100.0), (second, 0.0)), "", models)


def turn(
    live: Live,
    folder: Path,
    requests: Sequence[Sequence[dict[str, Any]]],
    *,
    store: Any = None,
    reply: Any = None,
) -> tuple[list[Client], Metrics]:
    """Answer requests in one turn of the loop, each a client's rows."""
    metrics = Metrics()
    clients = [Client() for _ in requests]

    async def within() -> None:
        log = PredictionLog(folder, started_ns=1)
        recorder = Recorder(metrics=metrics, log=log)
        ticker = Ticker(metrics=metrics, online=Online(store, timeout_s=1.0), recorder=recorder)
        admission = Admission(Limits(), metrics)
        handler = Calls(admission, request_clock=False, max_body_bytes=1 << 20).predict(live, None)
        for client, rows in zip(clients, requests, strict=True):
            job = Job(client, route="predict", keep_alive=True)
            handler(job, json.dumps({"rows": rows}).encode(), {})
            metrics.waiting += 1
            job.admitted, job.reply = 0, reply or job.reply
            ticker.add(job)
        await asyncio.sleep(0)
        log.close()

    asyncio.run(within())
    return clients, metrics


@pytest.mark.parametrize(
    ("column", "value"),
    [("amount", 10**30), ("placed_at", "0001-01-01T00:00:00+14:00")],
)
def test_what_the_log_cannot_hold_is_its_callers_alone(live, tmp_path, column, value):
    good, bad = small.rows(2)
    clients, metrics = turn(live, tmp_path, [[good], [bad | {column: value}], [good]])
    assert [client.got[0][0] for client in clients] == [200, 400, 200]
    assert "more than 64 bits" in clients[1].got[0][1]["error"]
    assert [p.unit for p in read(tmp_path)[0]] == [good["order_id"]] * 2
    assert metrics.waiting == 0


def test_a_turn_that_nobody_foresaw_is_answered(live, tmp_path, capsys):
    rows = small.rows(2)
    clients, metrics = turn(live, tmp_path, [rows[:1], rows[1:]], store=Store())
    assert [status for client in clients for status, _ in client.got] == [500, 500]
    assert metrics.waiting == 0
    assert "a turn failed" in capsys.readouterr().err


def test_an_answer_that_cannot_be_written_is_an_error_and_the_others_go_on(live, tmp_path):
    def reply(job: Job) -> tuple[int, bytes]:
        if job.parts[0].units == [rows[0]["order_id"]]:
            raise ValueError("no")
        return 200, b"{}"

    rows = small.rows(2)
    clients, metrics = turn(live, tmp_path, [rows[:1], rows[1:]], reply=reply)
    assert [client.got for client in clients] == [[(500, {"error": "ValueError: no"})], [(200, {})]]
    assert metrics.waiting == 0
    assert metrics.requests["predict", 500] == 1
