"""What the gateway answers, by path: the Open Inference Protocol, ``predict``, its own state."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import unquote

from onward.core.errors import OnwardError, unknown_name
from onward.core.records import ImageRef
from onward.stages.serve.gateway.admission.admission import BUSY, Admission
from onward.stages.serve.gateway.handlers import openapi
from onward.stages.serve.gateway.handlers.aside import Aside
from onward.stages.serve.gateway.handlers.asked import Asked
from onward.stages.serve.gateway.handlers.calls import Calls, encode, error_body
from onward.stages.serve.gateway.handlers.explain import explain
from onward.stages.serve.gateway.handlers.feedback import feedback
from onward.stages.serve.gateway.handlers.invocations import invocations, lone, unchosen
from onward.stages.serve.gateway.metrics import exposition
from onward.stages.serve.gateway.metrics.counters import Metrics
from onward.stages.serve.gateway.metrics.fleet import Fleet
from onward.stages.serve.gateway.protocol import inference
from onward.stages.serve.gateway.protocol.content import RefusedError
from onward.stages.serve.gateway.protocol.http import Connection, Headers
from onward.stages.serve.gateway.routing.job import Caller, Handler, Job
from onward.stages.serve.gateway.routing.live import Live
from onward.stages.serve.gateway.routing.versions import Models
from onward.stages.serve.gateway.telemetry.observer import Observer
from onward.stages.serve.gateway.turn.tick import Ticker
from onward.stages.serve.gateway.words import say

EXTENSIONS: Final = ("binary_tensor_data",)
"""What the server's metadata says that it does beyond the protocol, by the names that Triton
gave.
"""

RPC: Final = b"RPC"
"""The method of a call that came by gRPC: no client of HTTP can say it."""

_COUNTED: Final = frozenset({b"POST", RPC})


class Endpoints:
    """The gateway's routes and what serves them; `live` is replaced by `serve`, whole."""

    def __init__(
        self,
        *,
        version: str,
        metrics: Metrics,
        ticker: Ticker,
        admission: Admission,
        observer: Observer | None,
        fleet: Fleet,
        models: Models,
        request_clock: bool,
        max_body_bytes: int,
        max_connections: int,
        max_arriving_bytes: int,
        predictions: Path | None = None,
    ) -> None:
        self.max_body_bytes = max_body_bytes
        self.max_connections = max_connections
        self.max_arriving_bytes = max_arriving_bytes
        self.arriving_bytes = 0
        self.connections: set[Connection] = set()
        self.live: dict[str, Live] = {}
        self.draining = False
        self._version = version
        self._metrics = metrics
        self._ticker = ticker
        self._admission = admission
        self._calls = Calls(admission, request_clock=request_clock, max_body_bytes=max_body_bytes)
        self._aside = Aside(ticker.add, ticker.answer, error_body)
        self._in_memory = models
        self._asked = Asked(models, self._turn)
        self._predictions = predictions
        self._fleet = fleet
        self._observer = observer
        self._table: dict[tuple[bytes, bytes], tuple[str, Handler, str]] = {}
        self.serve({})

    def serve(self, live: Mapping[str, Live]) -> None:
        """Answer for these models from the next request on."""
        table: dict[tuple[bytes, bytes], tuple[str, Handler, str]] = {
            (b"GET", b"/v2"): ("server", self._server, ""),
            (b"GET", b"/v2/"): ("server", self._server, ""),
            (b"GET", b"/v2/models"): ("server", self._models, ""),
            (b"GET", b"/v2/health/live"): ("health", self._alive, ""),
            (b"GET", b"/v2/health/ready"): ("health", self._is_ready, ""),
            (b"GET", b"/metrics"): ("metrics", self._show_metrics, ""),
            (b"GET", b"/routes"): ("routes", self._show_routes, ""),
            (b"GET", b"/ping"): ("health", self._ping, ""),
            (b"GET", b"/health"): ("health", self._ping, ""),
            (b"GET", b"/version"): ("server", self._show_version, ""),
            (b"GET", b"/openapi.json"): ("server", self._describe, ""),
            (b"POST", b"/invocations"): ("invocations", unchosen(live), ""),
        }
        for name, routes in live.items():
            invoked = ("invocations", invocations(routes, self._calls), name)
            table[b"POST", f"/invocations?model={name}".encode()] = invoked
            if len(live) == 1:
                table[b"POST", b"/invocations"] = ("invocations", lone(name, invoked[1]), name)
            for version in (None, *routes.direct, *routes.kept):
                base = f"/v2/models/{name}" + ("" if version is None else f"/versions/{version}")
                for (method, tail, route), handler in self._of_version(routes, version):
                    table[method.encode(), f"{base}{tail}".encode()] = (route, handler, name)
        self.live, self._table = dict(live), table
        self._admission.serve(routes.routes for routes in live.values())
        self._metrics.routes = {name: routes.version for name, routes in live.items()}
        self._in_memory.settle(
            {digest for routes in live.values() for digest in routes.models},
            {image.digest for routes in live.values() for image in routes.kept.values()},
        )

    def _of_version(
        self, routes: Live, version: int | None
    ) -> Iterator[tuple[tuple[str, str, str], Handler]]:
        """Yield what answers for a version, None for the one that routes choose: method, end of the
        path and kind, and the handler.
        """
        made: dict[tuple[str, str, str], Callable[[Live], Handler]] = {
            ("GET", "", "model"): lambda live: self._metadata(live, version),
            ("POST", "/infer", "infer"): lambda live: self._calls.infer(live, version),
            (RPC.decode(), "/infer", "grpc"): lambda live: self._calls.asked(live, version),
            ("POST", "/predict", "predict"): lambda live: self._calls.predict(live, version),
            ("POST", "/explain", "explain"): lambda live: self._explain(live, version),
        }
        yield ("POST", "/feedback", "feedback"), self._feedback(routes)
        image = None if version is None else routes.kept.get(version)
        yield ("GET", "/ready", "health"), self._model_ready(image)
        for key, make in made.items():
            if image is None:
                yield key, make(routes)
            else:
                yield key, self._asked.handler(routes, image, key[2], make)

    # ------------------------------------------------------------ requests

    def handle(
        self, caller: Caller, method: bytes, url: bytes, body: bytes, headers: Headers,
        *, keep_alive: bool,
    ) -> None:  # fmt: skip
        """Take a request and see that it is answered in this tick."""
        query = b""
        found = self._table.get((method, url))
        if found is None:
            url, _, query = url.partition(b"?")
            found = self._table.get((b"GET" if method == b"HEAD" else method, url))
        route, handler, model = found or ("unknown", self._unknown(method, url), "")
        job = Job(caller, route=route, keep_alive=keep_alive and not self.draining)
        job.query, job.bare = query, method == b"HEAD"
        if self._observer is not None:
            self._observer.begin(job, headers)
        try:
            if not self._admission.let(job, model, headers):
                pass  # it has its answer
            elif method not in _COUNTED:
                handler(job, body, headers)
            elif self._admission.admit(job, model, headers, len(body)):
                handler(job, body, headers)
                self._admission.measure(job, model)
        except Exception as error:
            _fail(job, error)
        if not job.held:
            self._ticker.add(job)

    def _turn(self, job: Job, model: str, call: Callable[[], None]) -> None:
        """Give a job its turn that waited for its model's version, and first call what it waited
        to.
        """
        connection = cast("Connection", job.caller)
        job.held = False
        try:
            call()
            if job.admitted >= 0:
                self._admission.measure(job, model)
        except Exception as error:
            _fail(job, error)
        if not job.held:
            self._ticker.add(job)
        connection.resume()

    def close(self) -> None:
        """Let go of the thread beside the loop."""
        self._aside.close()

    def refuse(self, caller: Caller, status: int, reason: str) -> None:
        """Answer what is no request, and end the connection."""
        job = Job(caller, route="refused", keep_alive=False)
        job.ready(status, error_body(reason))
        if status == BUSY:
            self._metrics.refused["queue"] += 1
            job.headers += b"\r\nRetry-After: 1"
        self._ticker.add(job)

    def _unknown(self, method: bytes, path: bytes) -> Handler:
        known = {m.decode() for m, known in self._table if known == path and m != RPC}
        if not known:
            text = self.nearest(path.decode(errors="replace"))
            return lambda job, _body, _headers: job.ready(404, error_body(text))
        allowed = ", ".join(sorted(known | {"OPTIONS"} | ({"HEAD"} if "GET" in known else set())))
        text = f"{method.decode()} is not answered here: {allowed} are"

        def handler(job: Job, _body: bytes, _headers: Headers) -> None:
            job.headers += b"\r\nAllow: " + allowed.encode()
            if method == b"OPTIONS":
                job.ready(200, b"")
            else:
                job.ready(405, error_body(text))

        return handler

    def nearest(self, path: str) -> str:
        """Return what is wrong with a path that nothing answers to."""
        parts = [unquote(part) for part in path.split("/")]
        if parts[1:3] == ["v2", "models"] and len(parts) > 3 and parts[3] not in self.live:
            what, expected = unknown_name("model", parts[3], self.live)
        elif parts[1:3] == ["v2", "models"] and len(parts) > 5 and parts[4] == "versions":
            found = self.live[parts[3]]
            served = {str(version) for version in (*found.direct, *found.kept)}
            what, expected = unknown_name("version", parts[5], served)
            what += f" of {parts[3]!r}"
        else:
            known = {known.decode() for _, known in self._table}
            paths = {each for each in known if "?" not in each and not each.endswith("/")}
            what, expected = unknown_name("path", path, paths)
        return f"{what}; {expected}"

    def _feedback(self, live: Live) -> Handler:
        return feedback(live, self._calls, self._aside, self._predictions)

    def _explain(self, live: Live, version: int | None) -> Handler:
        return explain(live, version, self._calls, self._aside)

    # ------------------------------------------------------------ state

    def _ping(self, job: Job, _body: bytes, _headers: Headers) -> None:
        job.ready(200 if self.ready() else 404, b"\n")

    def _describe(self, job: Job, _body: bytes, _headers: Headers) -> None:
        job.ready(200, openapi.description(self._version))

    def _show_version(self, job: Job, _body: bytes, _headers: Headers) -> None:
        job.ready(200, self._version.encode(), "text/plain; charset=utf-8")

    def about(self) -> dict[str, Any]:
        """Return the server's metadata."""
        return {"name": "onward", "version": self._version, "extensions": EXTENSIONS}

    def _server(self, job: Job, _body: bytes, _headers: Headers) -> None:
        job.ready(200, encode(self.about()))

    def _models(self, job: Job, _body: bytes, _headers: Headers) -> None:
        job.ready(200, encode({"models": sorted(self.live)}))

    def _alive(self, job: Job, _body: bytes, _headers: Headers) -> None:
        job.ready(200, encode({"live": True}))

    def _is_ready(self, job: Job, _body: bytes, _headers: Headers) -> None:
        ready = self.ready()
        job.ready(200 if ready else 503, encode({"ready": ready}))

    def _model_ready(self, image: ImageRef | None) -> Handler:
        """Answer whether a version answers at once: one beside the routes does while it is in
        memory, and to ask does not bring it there.
        """

        def handler(job: Job, _body: bytes, _headers: Headers) -> None:
            ready = image is None or self._asked.there(image)
            job.ready(200 if ready else 503, encode({"ready": ready}))

        return handler

    def _metadata(self, live: Live, version: int | None) -> Handler:
        target = live.champion if version is None else live.direct[version]

        def handler(job: Job, _body: bytes, _headers: Headers) -> None:
            known = self.live.get(target.model.name, live)
            versions = sorted((*known.direct, *known.kept))
            job.ready(200, encode(inference.metadata(target.model, versions)))

        return handler

    def _show_metrics(self, job: Job, _body: bytes, _headers: Headers) -> None:
        job.ready(200, self._fleet.metrics(), exposition.CONTENT_TYPE)

    def _show_routes(self, job: Job, _body: bytes, _headers: Headers) -> None:
        job.ready(200, encode(self._fleet.routes()))

    def ready(self) -> bool:
        """Whether this worker or another takes requests."""
        return self._fleet.ready()

    def shown(self) -> dict[str, Any]:
        """Return the routes that this worker serves."""
        shown = {name: live.shown() for name, live in sorted(self.live.items())}
        for name, (reason, version) in self._metrics.refused_routes.items():
            refused = {"refused": reason, "refused_version": version}
            shown[name] = {"version": None, **shown.get(name, {}), **refused}
        return shown


def _fail(job: Job, error: Exception) -> None:
    """Answer a job whose request is refused; a fault of ours leaves it not without an answer."""
    if isinstance(error, OnwardError):
        status = error.status if isinstance(error, RefusedError) else 400
        job.ready(status, error_body(str(error)))
    else:
        say(f"{job.route}: {error!r}")
        job.ready(500, error_body(f"{type(error).__name__}: {error}"))
