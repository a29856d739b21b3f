"""The Open Inference Protocol over gRPC, on a port of its own.

A call takes the way of its like over HTTP: the same routes, limits, turn of the loop, log and
statuses. It is for callers that speak nothing else: gRPC in Python costs several times what
`http.py` does (ADR 0006).
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, Final, NoReturn, TypeAlias
from urllib.parse import quote

import grpc
import msgspec

from onward.core.errors import DataError
from onward.stages.serve.gateway.admission.admission import GRPC_TIMEOUT
from onward.stages.serve.gateway.handlers.calls import answered
from onward.stages.serve.gateway.handlers.endpoints import RPC, Endpoints
from onward.stages.serve.gateway.protocol import inference
from onward.stages.serve.gateway.protocol.http import READ, Headers
from onward.stages.serve.gateway.protocol.inference import InferCall
from onward.stages.serve.gateway.protocol.listener import busy
from onward.stages.serve.gateway.protocol.tls import Certificate, Pair
from onward.stages.serve.gateway.routing.job import Part
from onward.stages.serve.gateway.rpc import wire
from onward.stages.serve.gateway.rpc.proto import messages

SERVICE: Final = "inference.GRPCInferenceService"

CODES: Final = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    422: grpc.StatusCode.FAILED_PRECONDITION,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}
"""gRPC's word for a status of HTTP; any other is INTERNAL."""

ARRIVING_S: Final = 0.1
"""How long to keep answers before the end: gRPC cancels what it has received and not handed on."""

TOLD_S: Final = 0.02
"""How long they are kept after that: GOAWAY leaves before them."""

_LONGEST_MS: Final = 99_999_999
"""The longest deadline that `grpc-timeout` can say in milliseconds; one beyond it is none."""

_READ: Final = {name.decode(): name for name in READ}

Context: TypeAlias = Any  # grpc.aio.ServicerContext: grpc has no types of its own


class RpcServer:
    """Listens for gRPC and hands calls to the endpoints.

    `shared` lets several processes listen on the port; with a `certificate` calls are encrypted.
    """

    def __init__(
        self,
        endpoints: Endpoints,
        *,
        host: str,
        port: int,
        shared: bool,
        certificate: Certificate | None = None,
    ) -> None:
        self._endpoints = endpoints
        self._certificate = certificate
        self._host, self._port = host, port
        self._leaving: asyncio.Event | None = None
        self._server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", endpoints.max_body_bytes),
                ("grpc.max_send_message_length", -1),
                ("grpc.so_reuseport", int(shared)),
            ]
        )
        methods: dict[str, tuple[Any, Any]] = {
            "ServerLive": (self._alive, messages.ServerLiveRequest),
            "ServerReady": (self._ready, messages.ServerReadyRequest),
            "ServerMetadata": (self._about, messages.ServerMetadataRequest),
            "ModelReady": (self._model_ready, messages.ModelReadyRequest),
            "ModelMetadata": (self._metadata, messages.ModelMetadataRequest),
        }
        handlers = {
            name: grpc.unary_unary_rpc_method_handler(method, asked.FromString, _bytes)
            for name, (method, asked) in methods.items()
        }
        handlers["ModelInfer"] = grpc.unary_unary_rpc_method_handler(self._infer)
        generic = grpc.method_handlers_generic_handler(SERVICE, handlers)
        self._server.add_generic_rpc_handlers((generic,))

    async def start(self) -> int:
        """Listen, and return the port.

        Raises
        ------
        BusyError
            The port is taken.
        """
        try:
            address = f"{self._host}:{self._port}"
            if self._certificate is None:
                port = self._server.add_insecure_port(address)
            else:
                port = self._server.add_secure_port(address, _credentials(self._certificate))
        except RuntimeError:
            raise busy(self._host, self._port, setting="grpc_port") from None
        await self._server.start()
        return int(port)

    async def stop(self, grace_s: float) -> None:
        """Send clients elsewhere (GOAWAY), take no new calls; give those under way so long.

        From when it stops until its clients know, gRPC cancels what they send. Answers wait for
        that moment to pass: a client that awaits one sends nothing meanwhile, and hears of GOAWAY
        first. What others send within that round trip is lost to them, as CANCELLED.
        """
        self._leaving = leaving = asyncio.Event()
        await asyncio.sleep(ARRIVING_S)
        stopping = asyncio.create_task(self._server.stop(grace_s))
        await asyncio.sleep(TOLD_S)
        leaving.set()
        await stopping

    # ------------------------------------------------------------ state

    async def _alive(self, _: Any, _context: Context) -> Any:
        return messages.ServerLiveResponse(live=True)

    async def _ready(self, _: Any, _context: Context) -> Any:
        return messages.ServerReadyResponse(ready=self._endpoints.ready())

    async def _about(self, _: Any, context: Context) -> Any:
        return messages.ServerMetadataResponse(**await self._get("/v2", context))

    async def _model_ready(self, asked: Any, context: Context) -> Any:
        """Answer; a model that is not there is not ready, as Triton has it."""
        path = f"{_path(asked.name, asked.version)}/ready"
        return messages.ModelReadyResponse(**await self._get(path, context, missing={}))

    async def _metadata(self, asked: Any, context: Context) -> Any:
        found = await self._get(_path(asked.name, asked.version), context)
        return messages.ModelMetadataResponse(**found)

    async def _get(
        self, path: str, context: Context, *, missing: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Return what HTTP's GET answers, to those who may know; `missing` where nothing does."""
        status, answer = await self._ask(_Call(context), b"GET", path, b"", context)
        if status == 404 and missing is not None:
            return missing
        found: dict[str, Any] = msgspec.json.decode(answer)
        if "error" in found:
            await _refuse(context, status, found["error"])
        return found

    # ------------------------------------------------------------ predictions

    async def _infer(self, body: bytes, context: Context) -> bytes:
        try:
            request = wire.parse(body)
        except DataError as error:
            await _refuse(context, 400, str(error))
        path = f"{_path(request.model_name, request.model_version)}/infer"
        status, answer = await self._ask(_InferCall(context, request), RPC, path, body, context)
        if status != 200:
            await _refuse(context, status, msgspec.json.decode(answer)["error"])
        return answer

    async def _ask(
        self, call: _Call, method: bytes, path: str, body: bytes, context: Context
    ) -> tuple[int, bytes]:
        headers = _headers(context)
        self._endpoints.handle(call, method, path.encode(), body, headers, keep_alive=True)
        answer = await call.answered
        if self._leaving is not None:
            await _keep(self._leaving, context)
        return answer


def _credentials(certificate: Certificate) -> Any:
    """Return what connections are made with: what lies in the certificate's files then."""
    told: list[Pair] = []

    def newest() -> Any:
        """Return what is new since it was last asked for, None for nothing; any thread asks."""
        pair = certificate.pair
        if told[-1:] == [pair]:
            return None
        told[:] = [pair]
        return grpc.ssl_server_certificate_configuration(
            [(pair.key, pair.chain)], pair.client_cas or None
        )

    return grpc.dynamic_ssl_server_credentials(
        newest(), newest, require_client_authentication=bool(certificate.pair.client_cas)
    )


class _Call:
    """A call that waits for its answer."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self.answered: asyncio.Future[tuple[int, bytes]]
        self.answered = asyncio.get_running_loop().create_future()

    def peer(self) -> str:
        """Return the client's address, without gRPC's ``ipv4:`` and the port."""
        peer: str = self._context.peer()
        return peer.partition(":")[2].rpartition(":")[0]

    def hold(self) -> None:
        """Nothing comes after it on the same call."""

    def resume(self) -> None:
        """Nothing was kept."""

    def answer(self, status: int, body: bytes, **_: object) -> None:
        if not self.answered.done():  # a caller that hung up, or whose deadline passed
            self.answered.set_result((status, body))


class _InferCall(_Call):
    """A call for predictions, in the protocol's messages."""

    def __init__(self, context: Context, request: Any) -> None:
        super().__init__(context)
        self._request = request

    def read(self) -> InferCall:
        return wire.read(self._request)

    def write(self, call: InferCall, part: Part) -> bytes:
        """Return the answer, its elements written as the request had them."""
        model = part.target.model
        assert part.output is not None
        return wire.write(
            inference.outputs(call, model, part.output),
            model=model.name,
            version=model.version,
            id=call.id,
            parameters=answered(call, part),
            raw=bool(self._request.raw_input_contents),
        )


async def _keep(leaving: asyncio.Event, context: Context) -> None:
    """Keep an answer until the server has left, or half of the time that its caller has is over."""
    left_s = context.time_remaining()
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(leaving.wait(), None if left_s is None else left_s / 2)


def _headers(context: Context) -> Headers:
    """Return the call's metadata as headers, its deadline among them."""
    found = {
        _READ[name]: value if isinstance(value, bytes) else value.encode()
        for name, value in context.invocation_metadata()
        if name in _READ
    }
    left_s = context.time_remaining()
    if left_s is not None and left_s * 1000 < _LONGEST_MS:
        found[GRPC_TIMEOUT] = b"%dm" % max(0, left_s * 1000)
    return found


def _path(name: str, version: str) -> str:
    """Return a model's path over HTTP; a name that holds what has a meaning there leads nowhere."""
    path = f"/v2/models/{quote(name, safe='')}"
    return f"{path}/versions/{quote(version, safe='')}" if version else path


def _bytes(message: Any) -> bytes:
    found: bytes = message.SerializeToString()
    return found


async def _refuse(context: Context, status: int, reason: str) -> NoReturn:
    """End the call with gRPC's word for a status."""
    await context.abort(CODES.get(status, grpc.StatusCode.INTERNAL), reason)
    raise AssertionError("a call that is aborted does not go on")
