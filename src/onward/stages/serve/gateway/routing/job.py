"""A request under way: who asked, the rows for each arm, and what became of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

from onward.core.records import Logging
from onward.stages.serve.gateway.protocol.http import Headers
from onward.stages.serve.gateway.protocol.tensors import Floats
from onward.stages.serve.gateway.routing.live import Target
from onward.stages.serve.log.segment import Feedback

if TYPE_CHECKING:
    import numpy as np

    from onward.stages.serve.gateway.protocol.trace_context import Trace

REFUSED: Final = 422
"""The status of a row that its views' policies give no answer to."""


class Part:
    """One caller's rows for one arm.

    Either `requests` (values in the order of the arm's request columns) or `numbers` and `texts`
    (features, row by row) hold the rows. `places` says where they stand in the caller's body.
    `looked_up` holds, row by row, the features of all views; `marks` says by view what a row got
    for want of a fresh one, None where every view's row was fresh. `ids` are the rows' in the log,
    none where they were not logged.
    """

    __slots__ = (
        "at_us", "computed", "error", "ids", "latency_us", "looked_up", "marks", "numbers",
        "output", "places", "refused", "requests", "status", "target", "texts", "units",
    )  # fmt: skip

    def __init__(self, target: Target, at_us: int) -> None:
        self.target = target
        self.at_us = at_us
        self.units: list[str] = []
        self.places: list[int] = []
        self.requests: list[tuple[Any, ...]] | None = None
        self.looked_up: Sequence[tuple[Any, ...]] = ()
        self.marks: list[dict[str, str] | None] | None = None
        self.refused: dict[int, str] | None = None
        self.numbers: Floats = ()
        self.texts: Sequence[tuple[str | None, ...]] = ()
        self.status = 200
        self.error: str | None = None
        self.computed: np.ndarray | None = None
        self.output: np.ndarray | None = None
        self.ids: Sequence[str] = ()
        self.latency_us = 0

    def fail(self, status: int, error: str) -> None:
        """Give every row this answer."""
        self.status, self.error = status, error

    def divided(self) -> list[Part]:
        """Return the rows that are not refused as one part, and each refused row as its own."""
        refused = self.refused or {}
        kept = [row for row in range(len(self.units)) if row not in refused]
        parts = [self._only(kept)] if kept else []
        for row, reason in refused.items():
            parts.append(self._only([row]))
            parts[-1].fail(REFUSED, reason)
        return parts

    def _only(self, rows: Sequence[int]) -> Part:
        part = Part(self.target, self.at_us)
        part.units = [self.units[row] for row in rows]
        part.places = [self.places[row] for row in rows]
        part.requests = [self.requests[row] for row in rows] if self.requests else None
        part.looked_up = [self.looked_up[row] for row in rows]
        part.marks = None if self.marks is None else [self.marks[row] for row in rows]
        return part


Groups = dict[tuple[Target, bool], list[Part]]
"""A tick's parts by arm, and by whether they need no lookup: they came as features, or failed."""


class Caller(Protocol):
    """Who is waiting for an answer."""

    def answer(
        self,
        status: int,
        body: bytes,
        *,
        keep_alive: bool,
        kind: str,
        headers: bytes,
        bare: bool,
    ) -> None:
        """Send the answer, if the caller is still there."""
        ...

    def peer(self) -> str:
        """Return the address that the request came from."""
        ...


AS_EVER: Final = Logging()


class Job:
    """One request under way: its parts and how to answer it, or an answer that is ready.

    `feedback` is logged with the tick, and `told` is then the ids of its rows; by which guarantee
    says `logging`, which predictions have from their arm. `refusal` is the body of its refusal,
    where it could not be logged; `position` is what of the log must be on the disk before it is
    answered, 0 for nothing.
    `query` is what followed the path's ``?``; `headers` go out with the answer, each as
    ``\\r\\nName: value``; a `bare` answer goes out without its body (to a HEAD request).
    `started` and `deadline` (0 for none) are in nanoseconds, by `time.perf_counter_ns`; `admitted`
    is the size of its body, decompressed, -1 where it does not count as waiting; `who` is the
    caller's name. One that is `held` has its turn later, and `later` is told what would be
    answered, and sees to the answer, once the turn is over (both in `handlers/aside.py`). `id` is
    the request's, where it is noted, and `trace` its place in a trace that is recorded.
    """

    __slots__ = (
        "admitted", "bare", "body", "caller", "deadline", "feedback", "headers", "held",
        "id", "keep_alive", "kind", "later", "logging", "parts", "position", "query", "refusal",
        "reply", "route", "started", "status", "told", "trace", "who",
    )  # fmt: skip

    def __init__(self, caller: Caller, *, route: str, keep_alive: bool) -> None:
        self.caller = caller
        self.route = route
        self.keep_alive = keep_alive
        self.query = self.headers = b""
        self.bare = self.held = False
        self.kind = "application/json"
        self.started = time.perf_counter_ns()
        self.deadline = 0
        self.who = self.id = ""
        self.trace: Trace | None = None
        self.admitted = -1
        self.parts: Sequence[Part] = ()
        self.feedback: Feedback | None = None
        self.logging = AS_EVER
        self.told: Sequence[str] = ()
        self.refusal: bytes | None = None
        self.position = 0
        self.status = 200
        self.body = b""
        self.reply: Callable[[Job], tuple[int, bytes]] | None = None
        self.later: Callable[[int, bytes], None] | None = None

    def ready(self, status: int, body: bytes, kind: str = "application/json") -> None:
        """Give the answer that needs no prediction."""
        self.status, self.body, self.kind, self.parts, self.reply = status, body, kind, (), None


Handler = Callable[[Job, bytes, Headers], None]
"""Gives a job its parts, or its answer, by what its body and headers ask for."""
