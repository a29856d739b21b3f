"""Traffic for the replay: each airport asks, once an hour, for its next departures."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from types import TracebackType
from typing import Any, Self

import httpx
import msgspec

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What was asked and answered: requests, rows, rows by model version, failed requests."""

    requests: int
    rows: int
    failed: int
    by_version: Mapping[int, int]


class Traffic:
    """Callers over HTTP: a few connections, requests in the order of event time."""

    def __init__(self, url: str, model: str, *, callers: int = 8) -> None:
        self._path = f"{url}/v2/models/{model}/predict"
        self._callers = callers
        self._loop = asyncio.new_event_loop()
        limits = httpx.Limits(max_connections=callers, max_keepalive_connections=callers)
        self._client = httpx.AsyncClient(limits=limits, timeout=30)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._loop.run_until_complete(self._client.aclose())
        self._loop.close()

    def send(self, rows: Sequence[Row]) -> Sent:
        """Send rows, ordered by ``scheduled_at``, grouped by hour and airport; wait for all."""
        return self._loop.run_until_complete(self._send(_requests(rows)))

    async def _send(self, bodies: Iterator[tuple[str, list[Row]]]) -> Sent:
        answers: list[tuple[int, list[int]]] = []
        encode = msgspec.json.encode

        async def caller() -> None:
            for moment, rows in bodies:
                answer = await self._client.post(
                    self._path,
                    content=encode({"rows": rows}, enc_hook=str),
                    headers={"onward-event-time": moment, "content-type": "application/json"},
                )
                given = answer.json()["predictions"] if answer.status_code == 200 else []
                answers.append((len(rows), [p["version"] for p in given]))

        await asyncio.gather(*(caller() for _ in range(self._callers)))
        return _count(answers)


def _requests(rows: Iterable[Row]) -> Iterator[tuple[str, list[Row]]]:
    def hour(row: Row) -> str:
        return str(row["scheduled_at"])[:13]

    for _, together in groupby(rows, key=hour):
        by_airport: dict[str, list[Row]] = {}
        for row in together:
            by_airport.setdefault(row["origin"], []).append(row)
        for group in by_airport.values():
            yield str(group[0]["scheduled_at"]), group


def _count(answers: Sequence[tuple[int, list[int]]]) -> Sent:
    versions: dict[int, int] = {}
    for _, given in answers:
        for version in given:
            versions[version] = versions.get(version, 0) + 1
    return Sent(
        requests=len(answers),
        rows=sum(asked for asked, _ in answers),
        failed=sum(not given for _, given in answers),
        by_version=versions,
    )
