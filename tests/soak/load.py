"""Callers that keep a rate and write down what became of every request: a process of its own.

``PYTHONPATH=tests python -m soak.load PORT RATE CONNECTIONS SEED JOURNAL``, until its standard
input ends; a rate of 0 is as fast as answers come. Each connection has one request under way: rows
or tensors, one or several, each about a unit of its own. One that gets no answer is written down as
such and never sent again. A hundredth of the predictions get feedback. Every second a line of JSON
says how it goes.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from itertools import count
from pathlib import Path
from typing import Any

import httptools
import uvloop

from soak.asking import Feedback, Journal, Request, Rows, Tensors

PATIENCE_S = 30.0  # after so long an answer is given up
TOLD = 0.01  # of the predictions get feedback


class Line(asyncio.Protocol):
    """A connection with one request under way."""

    def __init__(self) -> None:
        self.open = False
        self.asked_at = 0.0
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None

    def connection_made(self, transport: Any) -> None:
        self.open, self.transport = True, transport

    def ask(self, request: bytes) -> asyncio.Future[tuple[int, bytes]]:
        self._parser = httptools.HttpResponseParser(self)
        self._body: list[bytes] = []
        self._answer = asyncio.get_running_loop().create_future()
        self.asked_at = time.monotonic()
        self.transport.write(request)
        return self._answer

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        if not self._parser.should_keep_alive():
            self.close()
        answer, self._answer = self._answer, None
        if answer is not None and not answer.done():
            answer.set_result((self._parser.get_status_code(), b"".join(self._body)))

    def connection_lost(self, exc: Exception | None) -> None:
        self.open = False
        answer, self._answer = self._answer, None
        if answer is not None and not answer.done():
            answer.set_exception(exc or ConnectionResetError("closed without an answer"))

    def close(self) -> None:
        self.open = False
        self.transport.close()

    def look(self) -> None:
        """Give up on an answer that does not come."""
        if self._answer is not None and time.monotonic() - self.asked_at > PATIENCE_S:
            self._answer.set_exception(TimeoutError(f"no answer in {PATIENCE_S:g} s"))
            self._answer = None
            self.close()


class Callers:
    """All connections."""

    def __init__(self, port: int, rate: float, connections: int, seed: int, path: Path) -> None:
        self.journal = Journal(path)
        self.stopped = asyncio.Event()
        self._port, self._connections = port, connections
        self._interval = connections / rate if rate else 0.0
        self._chance = random.Random(seed)
        self._name, self._numbers = f"{path.stem}-{seed:x}", count()
        self._lines: dict[int, Line] = {}

    async def run(self) -> None:
        telling = asyncio.create_task(self._tell())
        await asyncio.gather(*(self._call(number) for number in range(self._connections)))
        telling.cancel()
        self.journal.tell()
        self.journal.close()

    async def _tell(self) -> None:
        while True:
            await asyncio.sleep(1)
            self.journal.tell()
            for line in self._lines.values():
                line.look()

    async def _call(self, number: int) -> None:
        due = time.monotonic() + self._interval * number / self._connections
        told: list[str] = []
        while not self.stopped.is_set():
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            due = max(due + self._interval, time.monotonic() - 1)  # what was missed is let go
            line = await self._line(number)
            if line is not None:
                request = Feedback(self._chance, told.pop()) if told else self._request()
                ids = await self._ask(line, request)
                told = [each for each in ids if self._chance.random() < TOLD][:1] or told

    async def _line(self, number: int) -> Line | None:
        line = self._lines.get(number)
        if line is not None and line.open:
            return line
        loop = asyncio.get_running_loop()
        try:
            _, line = await loop.create_connection(Line, "127.0.0.1", self._port)
        except OSError as error:
            self.journal.note("unreachable", "", detail=str(error))
            await asyncio.sleep(0.1)
            return None
        self._lines[number] = line
        return line

    async def _ask(self, line: Line, request: Request) -> list[str]:
        try:
            status, body = await line.ask(request.sent)
        except OSError as error:  # a timeout is one, too
            about = ["feedback"] if isinstance(request, Feedback) else request.units
            for unit in about:
                self.journal.note("dead", unit, detail=repr(error)[:200])
            return []
        self.journal.seconds.append(time.monotonic() - line.asked_at)
        return request.answered(self.journal, status, json.loads(body))

    def _request(self) -> Request:
        chance = self._chance
        rows = chance.choice((1, 1, 1, 1, 2, 5))
        if chance.random() < 0.5:
            return Rows(chance, [self._unit() for _ in range(rows)])
        return Tensors(chance, self._unit(), rows)

    def _unit(self) -> str:
        return f"{self._name}-{next(self._numbers)}"


async def main(port: str, rate: str, connections: str, seed: str, journal: str) -> None:
    callers = Callers(int(port), float(rate), int(connections), int(seed), Path(journal))
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), callers.stopped.set)
    await callers.run()


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
