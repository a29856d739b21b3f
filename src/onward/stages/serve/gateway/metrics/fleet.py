"""What one worker answers for all of them."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Mapping
from typing import Any, Literal

from onward.stages.serve.gateway.metrics import exposition
from onward.stages.serve.gateway.metrics.board import EVERY_S, Board, Told, agreed
from onward.stages.serve.gateway.metrics.counters import Metrics, Samples


class Fleet:
    """A worker among the others: tells how it stands, and knows how they do."""

    def __init__(self, board: Board, metrics: Metrics, *, slot: int, id: str) -> None:
        self._board = board
        self._metrics = metrics
        self._slot, self._id = slot, id
        self._since = time.time_ns() / 1e9
        self._due = 0.0
        self._routes: dict[str, Any] = {}
        self._shown: Callable[[], dict[str, Any]] = dict
        self.state: Literal["starting", "ready", "draining"] = "starting"

    def showing(self, shown: Callable[[], dict[str, Any]]) -> None:
        """Show these routes as this worker's own."""
        self._shown = shown

    def look(self, *, changed: bool) -> None:
        """Tell, if it is time, or at once if something changed that others wait for."""
        if changed or time.monotonic() >= self._due:
            self.tell()

    def tell(self) -> Told:
        """Tell how this worker stands."""
        self._due = time.monotonic() + EVERY_S
        told = Told(
            id=self._id, slot=self._slot, pid=os.getpid(), since=self._since, state=self.state,
            routes=self._shown(), samples=self._metrics.samples(),
        )  # fmt: skip
        with contextlib.suppress(OSError):  # a full disk: what is served matters more
            self._board.tell(told)
        return told

    def metrics(self) -> bytes:
        """Return what all workers, and those before them, counted, for Prometheus."""
        own = self.tell()
        others, retired = self._board.read()
        workers = [own, *(told for told in others if told.id != self._id)]
        samples = exposition.merged([*(told.samples for told in workers), retired.samples])
        return exposition.text(samples | _standing([t.state for t in workers], retired.restarts))

    def routes(self) -> dict[str, Any]:
        """Return the routes in service, as `board.agreed` has them, of all that take requests."""
        workers, _ = self._board.read()
        others = [t.routes for t in workers if t.id != self._id and t.state == "ready"]
        return agreed([self._shown(), *others])

    def ready(self) -> bool:
        """Whether this worker or another takes requests."""
        if self.state == "ready":
            return True
        workers, _ = self._board.read()
        return any(told.state == "ready" for told in workers)


def _standing(states: list[str], restarts: Mapping[int, int]) -> Samples:
    return {
        "onward_workers": {(state,): states.count(state) for state in sorted(set(states))},
        "onward_worker_restarts_total": {(str(slot),): n for slot, n in sorted(restarts.items())},
    }
