"""A shadow: a process of its own that answers again what the champion has answered.

It reads the champion's requests from the prediction log, looks features up as the gateway does,
and logs its predictions with the arm ``shadow`` and the request's own unit and moment. The log is
written in any case, so a shadow costs the request path nothing, loses no request, and goes on after
a kill where its cursor is: what it answered since that was kept, half a second's at most, it
answers twice. Nobody waits for it, so it takes what has gathered at a slow beat, and runs when
nothing else wants the processor (`keeper.py`, `contention.py`). It ends with its routes, or with
the worker that started it: ``python -m onward.stages.serve.gateway.shadow.process --config FILE
--model NAME``.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from onward.core.errors import OnwardError
from onward.core.records import Column, Logging, Route, Routes
from onward.stages.serve.gateway.features.online import Online
from onward.stages.serve.gateway.metrics.counters import Metrics
from onward.stages.serve.gateway.metrics.progress import Progress
from onward.stages.serve.gateway.models.image import cache_of
from onward.stages.serve.gateway.models.model import load_route
from onward.stages.serve.gateway.routing.job import Job, Part
from onward.stages.serve.gateway.routing.live import Live, Target
from onward.stages.serve.gateway.routing.rows import python_type
from onward.stages.serve.gateway.settings import GatewayConfig, read_config
from onward.stages.serve.gateway.shadow.contention import Contention
from onward.stages.serve.gateway.turn.recorder import Recorder
from onward.stages.serve.gateway.turn.tick import Ticker
from onward.stages.serve.gateway.words import say
from onward.stages.serve.log.reader import Cursor, Logged, read_span
from onward.stages.serve.log.segment import MAGIC, Header, segments
from onward.stages.serve.log.writer import PredictionLog
from onward.stages.serve.port import OnlineReader
from onward.stages.serve.release.config import SHADOW
from onward.stages.serve.routes import CHAMPION, read_routes

GROUP: Final = 512
"""Rows, about, that are answered in one turn: read at once, predicted at once, written at once."""

BEAT_S: Final = 0.1
"""Seconds between two looks at the log. A look costs the same for one row and for `GROUP`, and each
time it wakes or waits for the disk a shadow may take a turn from those who serve.
"""

KEEP_S: Final = 0.5
"""Seconds between two writes of how far it is: each is a transaction of the file system, in whose
journal the gateway's flushes wait behind it.
"""

BOUND_S: Final = 1.0
"""How old its log may become before it is on the disk: nobody waits for it, and the gateway's own
flushes have the disk to themselves. A crash of the machine may take as much of its answers.
"""


class Shadow:
    """One model's shadow, for as long as its routes have one."""

    def __init__(self, config: GatewayConfig, name: str) -> None:
        self._config = config
        self._path = Path(config.routes or "") / f"{name}.json"
        self._folder = Path(config.predictions or "")
        self._place = Progress.place(Path(config.state), name)
        self._log = PredictionLog(self._folder, started_ns=time.time_ns(), bound_s=BOUND_S)
        store: OnlineReader | None = None if config.online is None else config.online.make()
        self._online = Online(store, timeout_s=config.online_timeout_s)
        self._masks = None if config.masks is None else config.masks.make()
        self._metrics = Metrics()
        self._ticker = Ticker(
            metrics=self._metrics,
            online=self._online,
            recorder=Recorder(metrics=self._metrics, log=self._log),
        )
        self._seen: tuple[int, int, int] | None = None
        self._route: Route | None = None
        self._target: Target | None = None
        self._progress = Progress.read(self._place) or Progress(cursor=self._newest())
        self._due = 0.0

    async def follow(self) -> None:
        """Answer what the champion answers, until the routes have no shadow."""
        parent = os.getppid()
        contention = Contention()
        while os.getppid() == parent and (target := self._current()) is not None:
            more = await self._advance(target)
            if contention.felt() or not more:
                await asyncio.sleep(BEAT_S)

    def close(self) -> None:
        """Bring the log to the disk, say how far it is, and let go of the store."""
        self._log.close()
        self._progress.write(self._place)
        self._online.close()

    async def _advance(self, target: Target) -> bool:
        """Answer a group of what is new; return whether there is more that need not wait."""
        progress, began = self._progress, time.time_ns()
        span = read_span(self._folder, progress.cursor, GROUP, without=self._log.writer)
        logged = [each for each in span.batches if _is_champions(each.header, target.header)]
        parts = [part for each in logged for part in _parts(target, each)]
        await self._answer(parts)
        if self._metrics.log_failing:  # a full disk, for one: it answers again at the next beat
            return False
        progress.answered += len(parts)
        progress.passed_over += sum(map(len, logged)) - len(parts)
        progress.cursor = span.cursor
        if not span.more:
            progress.abreast_ns = began
        if time.monotonic() >= self._due:
            progress.write(self._place)
            self._due = time.monotonic() + KEEP_S
        return span.more

    def _current(self) -> Target | None:
        """Return what answers now; None where the routes have no shadow any more."""
        try:
            stat = self._path.stat()
            seen = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
            if seen == self._seen:
                return self._target
            routes, _ = read_routes(self._path)
        except (FileNotFoundError, OnwardError):
            return None
        self._seen = seen
        route = next((each for each in routes.routes if each.arm == SHADOW), None)
        if route is None or route != self._route:
            self._route = route
            self._target = None if route is None else self._load(route)
        return self._target

    def _load(self, route: Route) -> Target:
        alone = Routes(
            model=route.image.model.name,
            salt="",
            routes=(replace(route, arm=CHAMPION, percent=100.0, buckets=()),),
        )
        model = load_route(route, cache_of(self._config))
        target = Live(alone, "", {route.image.digest: model}, self._masks).champion
        say(f"{model.name}: version {model.version} shadows {route.release}")
        header = msgspec.structs.replace(target.header, arm=SHADOW)
        return replace(target, arm=SHADOW, header=header, logging=Logging())  # nobody waits

    async def _answer(self, parts: Sequence[Part]) -> None:
        """Predict and log what the champion answered in this release's step."""
        if not parts:
            return
        done = asyncio.Event()
        job = Job(_Nobody(done), route=SHADOW, keep_alive=False)
        job.parts = parts
        job.reply = lambda _: (200, b"")
        self._ticker.add(job)
        await done.wait()

    def _newest(self) -> Cursor:
        """Return the beginning of each writer's newest segment."""
        newest = {segment.writer: segment.number for segment in segments(self._folder)}
        return Cursor({writer: (number, len(MAGIC)) for writer, number in newest.items()})


class _Nobody:
    """Waits for an answer that nobody reads."""

    def __init__(self, done: asyncio.Event) -> None:
        self._done = done

    def answer(
        self, status: int, body: bytes, *, keep_alive: bool, kind: str, headers: bytes, bare: bool
    ) -> None:
        """Take it."""
        del status, body, keep_alive, kind, headers, bare
        self._done.set()

    def peer(self) -> str:
        """Return no address."""
        return ""


def _is_champions(header: Header, ours: Header) -> bool:
    theirs = (header.model, header.release, header.arm)
    return theirs == (ours.model, ours.release, CHAMPION)


def _parts(target: Target, logged: Logged) -> Iterator[Part]:
    """Yield the rows of a batch that can be answered again."""
    yield from _by_request(target, logged)
    yield from _by_features(target, logged)


def _by_request(target: Target, logged: Logged) -> Iterator[Part]:
    """Yield the rows that came as request columns, each a part: one that fails fails alone."""
    columns = target.model.plan.request
    places = {name: place for place, name in enumerate(logged.header.request)}
    for row, values in enumerate(logged.batch.requests):
        if values is not None:
            part = _part(target, logged, row)
            part.requests = [
                tuple(
                    _value(column, values[places[column.name]]) if column.name in places else None
                    for column in columns
                )
            ]
            yield part


def _by_features(target: Target, logged: Logged) -> Iterator[Part]:
    """Yield the rows that came as features; none where the shadow's are others."""
    if logged.header.features != target.header.features:
        return
    features = logged.features()
    for row, values in enumerate(logged.batch.requests):
        if values is None:
            part = _part(target, logged, row)
            part.numbers = features[row].tolist()
            part.texts = [logged.batch.strings[row] if logged.batch.strings else ()]
            yield part


def _part(target: Target, logged: Logged, row: int) -> Part:
    part = Part(target, logged.batch.at[row])
    part.units = [logged.batch.unit[row]]
    return part


def _value(column: Column, value: Any) -> Any:
    """Return a logged value as the request had it: the log keeps some moments as text."""
    kind = python_type(column.dtype)
    if isinstance(value, str) and kind in (date, datetime):
        return msgspec.convert(value, kind)
    return value


async def run(config: GatewayConfig, name: str) -> None:
    """Shadow a model until its routes have no shadow."""
    shadow = Shadow(config, name)
    try:
        await shadow.follow()
    finally:
        shadow.close()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a shadow to its end and return its exit status."""
    parser = argparse.ArgumentParser(
        prog="onward.stages.serve.gateway.shadow.process", description=__doc__
    )
    parser.add_argument("--config", type=Path, required=True, help="the gateway's configuration")
    parser.add_argument("--model", required=True)
    given = parser.parse_args(arguments)
    try:
        asyncio.run(run(read_config(given.config), given.model))
    except OnwardError as error:
        say(str(error))
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
