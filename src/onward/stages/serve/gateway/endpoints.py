"""What the gateway answers, by path: the Open Inference Protocol, ``predict``, its own state."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec

from onward.core.errors import DataError, OnwardError, unknown_name
from onward.stages.serve.gateway import exposition, inference
from onward.stages.serve.gateway.admission import Admission
from onward.stages.serve.gateway.http import Connection, Headers
from onward.stages.serve.gateway.inference import InferRequest
from onward.stages.serve.gateway.job import Job, Part
from onward.stages.serve.gateway.live import Live, Target
from onward.stages.serve.gateway.metrics import Metrics
from onward.stages.serve.gateway.tick import Ticker

if TYPE_CHECKING:
    import numpy as np

encode: Final = msgspec.json.Encoder().encode
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

Handler = Callable[[Job, bytes, Headers], None]


class Endpoints:
    """The gateway's routes and what serves them; `live` is replaced by `serve`, whole."""

    def __init__(
        self,
        *,
        version: str,
        metrics: Metrics,
        ticker: Ticker,
        admission: Admission,
        request_clock: bool,
        max_body_bytes: int,
        max_connections: int,
    ) -> None:
        self.max_body_bytes = max_body_bytes
        self.max_connections = max_connections
        self.connections: set[Connection] = set()
        self.live: dict[str, Live] = {}
        self.ready = False
        self.draining = False
        self._version = version
        self._metrics = metrics
        self._ticker = ticker
        self._admission = admission
        self._request_clock = request_clock
        self._anonymous = itertools.count()
        self._born = time.time_ns()
        self._table: dict[tuple[bytes, bytes], tuple[str, Handler]] = {}
        self.serve({})

    def serve(self, live: Mapping[str, Live]) -> None:
        """Answer for these models from the next request on."""
        table: dict[tuple[bytes, bytes], tuple[str, Handler]] = {
            (b"GET", b"/v2"): ("server", self._server),
            (b"GET", b"/v2/health/live"): ("health", self._alive),
            (b"GET", b"/v2/health/ready"): ("health", self._is_ready),
            (b"GET", b"/metrics"): ("metrics", self._show_metrics),
            (b"GET", b"/routes"): ("routes", self._show_routes),
        }
        for name, routes in live.items():
            for version in (None, *routes.direct):
                base = f"/v2/models/{name}" + ("" if version is None else f"/versions/{version}")
                for method, tail, route, handler in (
                    ("GET", "", "model", self._metadata(routes, version)),
                    ("GET", "/ready", "health", self._model_ready),
                    ("POST", "/infer", "infer", self._infer(routes, version)),
                    ("POST", "/predict", "predict", self._predict(routes, version)),
                ):
                    table[method.encode(), f"{base}{tail}".encode()] = (route, handler)
        self.live, self._table = dict(live), table
        self._metrics.routes = {name: routes.version for name, routes in live.items()}

    # ------------------------------------------------------------ requests

    def handle(
        self, connection: Connection, method: bytes, url: bytes, body: bytes, headers: Headers,
        *, keep_alive: bool,
    ) -> None:  # fmt: skip
        """Take a request and see that it is answered in this tick."""
        query = b""
        found = self._table.get((method, url))
        if found is None:
            url, _, query = url.partition(b"?")
            found = self._table.get((b"GET" if method == b"HEAD" else method, url))
        route, handler = found or ("unknown", self._unknown(method, url))
        job = Job(connection, route=route, keep_alive=keep_alive and not self.draining)
        job.query, job.bare = query, method == b"HEAD"
        try:
            if method != b"POST":
                handler(job, body, headers)
            elif self._admission.admit(job, headers, len(body)):
                handler(job, body, headers)
                self._admission.measure(job)
        except OnwardError as error:
            job.ready(400, error_body(str(error)))
        self._ticker.add(job)

    def refuse(self, connection: Connection, status: int, reason: str) -> None:
        """Answer what is no request, and end the connection."""
        job = Job(connection, route="refused", keep_alive=False)
        job.ready(status, error_body(reason))
        self._ticker.add(job)

    def _unknown(self, method: bytes, path: bytes) -> Handler:
        known = {m.decode() for m, known in self._table if known == path}
        if not known:
            text = self._nearest(path.decode(errors="replace"))
            return lambda job, _body, _headers: job.ready(404, error_body(text))
        allowed = ", ".join(sorted(known | {"OPTIONS"} | ({"HEAD"} if "GET" in known else set())))
        text = f"{method.decode()} is not answered here: {allowed} are"

        def handler(job: Job, _body: bytes, _headers: Headers) -> None:
            job.headers = b"\r\nAllow: " + allowed.encode()
            if method == b"OPTIONS":
                job.ready(200, b"")
            else:
                job.ready(405, error_body(text))

        return handler

    def _nearest(self, path: str) -> str:
        parts = path.split("/")
        if parts[1:3] == ["v2", "models"] and len(parts) > 3 and parts[3] not in self.live:
            what, expected = unknown_name("model", parts[3], self.live)
        else:
            what, expected = unknown_name(
                "path", path, {known.decode() for _, known in self._table}
            )
        return f"{what}; {expected}"

    def _moment(self, headers: Headers) -> int:
        """Return the request's time in microseconds since the epoch."""
        if not self._request_clock:
            return time.time_ns() // 1000
        try:
            moment = datetime.fromisoformat(headers.get(b"onward-event-time", b"").decode())
        except ValueError:
            raise DataError(
                "the request does not say when it is",
                expected="the header onward-event-time in ISO 8601: this gateway replays",
            ) from None
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        since = moment - _EPOCH
        return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds

    # ------------------------------------------------------------ predictions

    def _predict(self, live: Live, version: int | None) -> Handler:
        direct = None if version is None else live.direct[version]

        def handler(job: Job, body: bytes, headers: Headers) -> None:
            rows = live.decoder.decode(body)
            at_us = self._moment(headers)
            parts: dict[Target, Part] = {}
            for place, row in enumerate(rows):
                unit = live.unit(row)
                target = direct or live.assign(unit)
                part = parts.get(target)
                if part is None:
                    part = parts[target] = Part(target, at_us)
                    part.requests = []
                part.units.append(unit)
                part.places.append(place)
                part.requests.append(target.pick(row))  # type: ignore[union-attr]  # set above
            job.parts = tuple(parts.values())
            job.reply = _predictions

        return handler

    def _infer(self, live: Live, version: int | None) -> Handler:
        direct = None if version is None else live.direct[version]

        def handler(job: Job, body: bytes, headers: Headers) -> None:
            request = inference.decode(body)
            unit = request.id or f"{self._born:x}-{next(self._anonymous):x}"
            target = direct or live.assign_features(unit)
            n, numbers, texts = inference.features(request, target.model)
            part = Part(target, self._moment(headers))
            part.units, part.numbers, part.texts = [unit] * n, numbers, texts
            job.parts = (part,)
            job.reply = lambda job: _inferred(request, job.parts[0])

        return handler

    # ------------------------------------------------------------ state

    def _server(self, job: Job, _body: bytes, _headers: Headers) -> None:
        extensions: list[str] = []
        about = {"name": "onward", "version": self._version, "extensions": extensions}
        job.ready(200, encode(about))

    def _alive(self, job: Job, _body: bytes, _headers: Headers) -> None:
        job.ready(200, encode({"live": True}))

    def _is_ready(self, job: Job, _body: bytes, _headers: Headers) -> None:
        ready = self.ready and not self.draining
        job.ready(200 if ready else 503, encode({"ready": ready}))

    def _model_ready(self, job: Job, _body: bytes, _headers: Headers) -> None:
        job.ready(200, encode({"ready": True}))

    def _metadata(self, live: Live, version: int | None) -> Handler:
        target = live.champion if version is None else live.direct[version]
        body = encode(inference.metadata(target.model, sorted(live.direct)))
        return lambda job, _body, _headers: job.ready(200, body)

    def _show_metrics(self, job: Job, _body: bytes, _headers: Headers) -> None:
        job.ready(200, exposition.text(self._metrics.samples()), exposition.CONTENT_TYPE)

    def _show_routes(self, job: Job, _body: bytes, _headers: Headers) -> None:
        shown = {name: live.shown() for name, live in sorted(self.live.items())}
        for name, reason in self._metrics.refused_routes.items():
            shown[name] = {"version": None, **shown.get(name, {}), "refused": reason}
        job.ready(200, encode(shown))


def error_body(text: str) -> bytes:
    """Return the protocol's form of an error."""
    return encode({"error": text})


def _predictions(job: Job) -> tuple[int, bytes]:
    """Answer ``predict``: rows in the caller's order; 200 where at least one was predicted."""
    entries: list[dict[str, Any]] = [{}] * sum(len(part.units) for part in job.parts)
    worst = 0
    for part in job.parts:
        target = part.target
        failed = part.status != 200
        worst = max(worst, part.status) if failed else worst
        for i, place in enumerate(part.places):
            entry: dict[str, Any] = {"version": target.model.version, "arm": target.arm}
            if part.status != 400:
                entry["id"] = part.ids[i]
            if failed:
                entry["error"] = part.error
            else:
                entry["output"] = _output(part.output, i)
            entry["unit"] = part.units[i]
            entries[place] = entry
    if worst and all(part.status != 200 for part in job.parts):
        first = next(part for part in job.parts if part.status == worst)
        return worst, encode({"error": first.error, "predictions": entries})
    return 200, encode({"model": job.parts[0].target.model.name, "predictions": entries})


def _output(output: np.ndarray | None, row: int) -> Any:
    if output is None:  # pragma: no cover - a part that did not fail has its output
        return None
    figures = output[row].tolist()
    return figures[0] if len(figures) == 1 else figures


def _inferred(request: InferRequest, part: Part) -> tuple[int, bytes]:
    model = part.target.model
    if part.output is None:
        return part.status, error_body(part.error or "the model failed")
    answer: dict[str, Any] = {
        "model_name": model.name,
        "model_version": str(model.version),
        "parameters": {
            **request.parameters,
            "prediction_ids": ",".join(part.ids),
            "arm": part.target.arm,
        },
        "outputs": inference.outputs(request, model, part.output),
    }
    if request.id:
        answer["id"] = request.id
    return 200, encode(answer)
