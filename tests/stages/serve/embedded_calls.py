"""Requests to a gateway within the test's own process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from onward.stages.serve.gateway.process.embedded import Answer, Embedded
from onward.stages.serve.gateway.settings import GatewayConfig

MODEL = b"/v2/models/returns"
JSON = ((b"Content-Type", b"application/json"), (b"X-Unread", b"1"))


def asked(config: GatewayConfig, work: Callable[[Embedded], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        embedded = Embedded(config)
        try:
            await embedded.start()
            assert embedded.ready()
            return await work(embedded)
        finally:
            await embedded.close()
            assert not embedded.ready()

    return asyncio.run(run())


def post(embedded: Embedded, path: bytes, body: Any) -> Awaitable[Answer]:
    return embedded.ask("POST", MODEL + path, json.dumps(body).encode(), JSON, "127.0.0.1")
