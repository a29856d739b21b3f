"""A gateway that another server asks, without a socket of its own."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trained_models as small
from embedded_calls import JSON, MODEL, asked, post
from gateway_site import routes_of, serving

from onward.core.errors import CorruptError
from onward.stages.serve.gateway.process.embedded import Answer, Embedded
from onward.stages.serve.gateway.settings import GatewayConfig
from onward.stages.serve.log.reader import find


@pytest.fixture
def config(tmp_path: Path, image) -> GatewayConfig:
    return serving(tmp_path, routes_of((image("plain"), 100.0)), max_body_bytes=4096).config


def test_requests_at_once_are_answered_and_in_the_log_at_the_end(config):
    async def work(embedded: Embedded) -> list[Answer]:
        rows = [{"rows": [row]} for row in small.rows(8, seed=3)]
        return await asyncio.gather(*(post(embedded, b"/predict", each) for each in rows))

    answers = asked(config, work)
    assert {answer.status for answer in answers} == {200}
    entries = [json.loads(answer.body)["predictions"][0] for answer in answers]
    ids = [entry["id"] for entry in entries]
    assert len({each.rpartition(".")[0] for each in ids}) == 1  # one batch
    logged = [find(Path(config.predictions or ""), each) for each in ids]
    assert [each.unit for each in logged] == [entry["unit"] for entry in entries]


def test_feedback_is_answered_once_its_work_beside_the_loop_is_done(config):
    async def work(embedded: Embedded) -> Answer:
        predicted = await post(embedded, b"/predict", {"rows": small.rows(1)})
        [entry] = json.loads(predicted.body)["predictions"]
        return await post(embedded, b"/feedback", {"feedback": [
            {"prediction": entry["id"], "value": 1}
        ]})  # fmt: skip

    assert asked(config, work).status == 200


def test_headers_and_refusals_are_the_gateways(config):
    async def work(embedded: Embedded) -> list[Answer]:
        return [
            await embedded.ask("GET", MODEL + b"/predict", b"", (), ""),
            await embedded.ask("HEAD", MODEL, b"", (), ""),
            await embedded.ask("POST", MODEL + b"/predict", b"x" * 4097, JSON, ""),
        ]

    wrong, bare, large = asked(config, work)
    assert (wrong.status, wrong.headers["allow"]) == (405, "OPTIONS, POST")
    assert (bare.status, bare.body) == (200, b"")
    assert int(bare.headers["content-length"]) > 100
    assert (large.status, json.loads(large.body)) == (
        413,
        {"error": "the body is larger than 4096 bytes"},
    )


def test_who_hangs_up_is_not_answered(config):
    async def work(embedded: Embedded) -> int:
        asking = asyncio.ensure_future(post(embedded, b"/predict", {"rows": small.rows(1)}))
        await asyncio.sleep(0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        return (await post(embedded, b"/predict", {"rows": small.rows(1)})).status

    assert asked(config, work) == 200


def test_an_image_that_cannot_be_used_is_refused_at_the_start(tmp_path, image):
    broken = replace(image("plain"), layout=str(tmp_path / "nowhere"))
    config = GatewayConfig(state=str(tmp_path / "state"), image=broken)
    with pytest.raises(CorruptError, match="no OCI image layout"):
        asked(config, lambda _: None)


def test_a_server_beside_it_keeps_its_address(config):
    address = Path(config.state) / "address"
    Path(config.state).mkdir(parents=True)
    address.write_text("another's")
    asked(config, lambda embedded: post(embedded, b"/predict", {"rows": small.rows(1)}))
    assert address.read_text() == "another's"


def test_a_replica_of_ray_asks_it(config):
    from starlette.requests import Request

    from onward.stages.serve.adapters.ray_serve import Replica

    body = json.dumps({"rows": small.rows(3)}).encode()

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    def request(client: tuple[str, int] | None, query: bytes) -> Request:
        path = "/shop" + (MODEL + b"/predict").decode()
        scope = {
            "type": "http", "method": "POST", "path": path, "root_path": "/shop",
            "query_string": query, "headers": list(JSON), "client": client,
        }  # fmt: skip
        return Request(scope, receive)

    class Ended(Replica):
        def __del__(self) -> None:
            """Serve, too, has the awaited one called once only."""

    async def run() -> None:
        replica = Ended.__new__(Ended)
        await replica.__init__(msgspec.to_builtins(config))
        try:
            await replica.check_health()
            for asking in (request(("127.0.0.1", 1), b""), request(None, b"from=here")):
                answer = await replica(asking)
                assert answer.status_code == 200
                assert len(json.loads(answer.body)["predictions"]) == 3
        finally:
            await Replica.__del__(replica)
        with pytest.raises(RuntimeError, match="no longer follows"):
            await replica.check_health()

    asyncio.run(run())
