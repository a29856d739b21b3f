"""Ray Serve: each replica of the deployment is a gateway, and Serve's proxy listens for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from ray import serve
from ray.serve import Application
from starlette.requests import Request
from starlette.responses import Response

from onward.stages.serve.gateway.process.embedded import Embedded
from onward.stages.serve.gateway.settings import GatewayConfig

DEPLOYMENT: Final = "gateway"
"""The deployment's name within the application; the target's file sets its options by it."""


class Replica:
    """One replica; it is ready once its models have answered their golden predictions."""

    # Serve awaits a replica's `__init__` and `__del__`, in the loop that its requests come in.

    async def __init__(self, config: Mapping[str, Any]) -> None:  # type: ignore[misc]  # as said
        self._gateway: Embedded | None = Embedded(msgspec.convert(config, GatewayConfig))
        await self._gateway.start()

    async def __call__(self, request: Request) -> Response:
        """Answer as the gateway does."""
        if self._gateway is None:  # pragma: no cover - Serve sends nothing to what it has ended
            return Response(status_code=503)
        path = request.scope["path"].removeprefix(request.scope["root_path"]).encode()
        query = request.scope["query_string"]
        answer = await self._gateway.ask(
            request.method,
            path + (b"?" + query if query else b""),
            await request.body(),
            request.headers.raw,
            request.client.host if request.client else "",
        )
        return Response(answer.body, answer.status, answer.headers)

    async def check_health(self) -> None:
        """Tell Serve, by raising, to put another replica in this one's place."""
        if self._gateway is None or not self._gateway.ready():
            raise RuntimeError("the gateway no longer follows its routes")

    async def __del__(self) -> None:
        """Bring the log to the disk: Serve calls this when no request is under way any more."""
        gateway, self._gateway = self._gateway, None
        if gateway is not None:
            await gateway.close()


def application(args: Mapping[str, Any]) -> Application:
    """Return the application that a Serve config names by its import path.

    `args` hold, as ``gateway``, the JSON form of `GatewayConfig`.
    """
    return serve.deployment(name=DEPLOYMENT)(Replica).bind(args["gateway"])
