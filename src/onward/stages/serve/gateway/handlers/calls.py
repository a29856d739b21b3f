"""What callers ask predictions by: rows of a request (``predict``), or tensors (``infer``)."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final, Protocol, cast

import msgspec

from onward.core.errors import DataError
from onward.stages.serve.gateway.admission.admission import Admission
from onward.stages.serve.gateway.protocol import content, inference, wire
from onward.stages.serve.gateway.protocol.http import Headers
from onward.stages.serve.gateway.protocol.inference import InferCall
from onward.stages.serve.gateway.routing.job import Handler, Job, Part
from onward.stages.serve.gateway.routing.live import Live, Target

encode: Final = msgspec.json.Encoder().encode
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def error_body(text: str) -> bytes:
    """Return the protocol's form of an error."""
    return encode({"error": text})


class Asking(Protocol):
    """A caller that brings an inference call of its own form: gRPC's."""

    def read(self) -> InferCall:
        """Return the call; raises DataError where there is none."""
        ...

    def write(self, call: InferCall, part: Part) -> bytes:
        """Return the answer for a part that was predicted."""
        ...


class Calls:
    """Makes jobs of what callers send."""

    def __init__(self, admission: Admission, *, request_clock: bool, max_body_bytes: int) -> None:
        self._admission = admission
        self._request_clock = request_clock
        self._limit = max_body_bytes
        self._anonymous = itertools.count()
        self._born = f"{time.time_ns():x}-"

    def plain(
        self, job: Job, body: bytes, headers: Headers, kinds: frozenset[bytes] = content.JSON
    ) -> bytes:
        """Return a body as it was before it was compressed; raises as `content.plain` does, and
        where too much waits already.
        """
        found = content.plain(body, headers, kinds, self._limit)
        if found is not body:
            self._admission.grow(job, len(found))
        return found

    def predict(self, live: Live, version: int | None) -> Handler:
        """Return what answers ``predict``."""

        def handler(job: Job, body: bytes, headers: Headers) -> None:
            rows = live.decoder.decode(self.plain(job, body, headers))
            job.parts = self.parts(live, version, rows, headers)
            job.reply = _predictions

        return handler

    def parts(
        self,
        live: Live,
        version: int | None,
        rows: list[tuple[Any, ...]],
        headers: Headers,
    ) -> tuple[Part, ...]:
        """Return decoded rows as parts, each unit's with the arm that it gets, or a tester's."""
        direct = live.wished(headers) if version is None else live.direct[version]
        at_us = self.moment(headers)
        parts: dict[Target, Part] = {}
        for place, row in enumerate(rows):
            unit = live.unit(row)
            target = direct or live.assign(unit, row)
            part = parts.get(target)
            if part is None:
                part = parts[target] = Part(target, at_us)
                part.requests = []
            part.units.append(unit)
            part.places.append(place)
            part.requests.append(target.pick(row))  # type: ignore[union-attr]  # set above
        return tuple(parts.values())

    def infer(self, live: Live, version: int | None) -> Handler:
        """Return what answers ``infer``."""

        def handler(job: Job, body: bytes, headers: Headers) -> None:
            body = self.plain(job, body, headers, content.TENSORS)
            call = wire.read(body, headers)
            job.parts = (self.part(live, version, call, headers),)
            job.reply = lambda job: _inferred(job, call)

        return handler

    def asked(self, live: Live, version: int | None) -> Handler:
        """Return what answers a caller that is `Asking`."""

        def handler(job: Job, _body: bytes, headers: Headers) -> None:
            asking = cast("Asking", job.caller)
            call = asking.read()
            part = self.part(live, version, call, headers)

            def reply(_: Job) -> tuple[int, bytes]:
                return _failed(part) if part.output is None else (200, asking.write(call, part))

            job.parts, job.reply = (part,), reply

        return handler

    def part(
        self,
        live: Live,
        version: int | None,
        call: InferCall,
        headers: Headers,
    ) -> Part:
        """Return the rows of an inference call, for the arm that its id gets, or a tester's."""
        unit = call.id or f"{self._born}{next(self._anonymous):x}"
        direct = live.wished(headers) if version is None else live.direct[version]
        target = direct or live.assign_features(unit)
        n, numbers, texts = inference.features(call, target.model)
        part = Part(target, self.moment(headers))
        part.units, part.numbers, part.texts = [unit] * n, numbers, texts
        return part

    def moment(self, headers: Headers) -> int:
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


def _predictions(job: Job) -> tuple[int, bytes]:
    """Answer ``predict``: rows in the caller's order; 200 where at least one was predicted."""
    entries: list[dict[str, Any]] = [{}] * sum(len(part.units) for part in job.parts)
    worst = 0
    for part in job.parts:
        target = part.target
        failed = part.status != 200
        worst = max(worst, part.status) if failed else worst
        outputs = [] if part.output is None else part.output.tolist()
        for i, place in enumerate(part.places):
            entry: dict[str, Any] = {"version": target.model.version, "arm": target.arm}
            if part.ids:
                entry["id"] = part.ids[i]
            elif part.status != 400:
                entry["logged"] = False
            if failed:
                entry["error"] = part.error
            else:
                entry["output"] = inference.said(target.model, outputs[i])
            entry["unit"] = part.units[i]
            entries[place] = entry
    if worst and all(part.status != 200 for part in job.parts):
        first = next(part for part in job.parts if part.status == worst)
        return worst, encode({"error": first.error, "predictions": entries})
    return 200, encode({"model": job.parts[0].target.model.name, "predictions": entries})


def _inferred(job: Job, call: InferCall) -> tuple[int, bytes]:
    [part] = job.parts
    model = part.target.model
    if part.output is None:
        return _failed(part)
    answer = wire.InferAnswer(
        model.name,
        str(model.version),
        answered(call, part),
        inference.outputs(call, model, part.output),
        call.id,
    )
    body, json_length = wire.write(call, answer)
    if json_length:
        job.kind = wire.BINARY
        job.headers += b"\r\nInference-Header-Content-Length: %d" % json_length
    return 200, body


def failure(parts: Sequence[Part]) -> tuple[int, bytes] | None:
    """Return the answer where any part failed: the worst's."""
    failed = [part for part in parts if part.output is None]
    return _failed(max(failed, key=lambda part: part.status)) if failed else None


def _failed(part: Part) -> tuple[int, bytes]:
    return part.status, error_body(part.error or "the model failed")


def answered(call: InferCall, part: Part) -> dict[str, Any]:
    """Return the answer's parameters: the call's, the arm, and the predictions' ids, if any."""
    logged = {"prediction_ids": ",".join(part.ids)} if part.ids else {"logged": False}
    return {**call.parameters, **logged, "arm": part.target.arm}
