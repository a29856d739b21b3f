"""The versions that a worker has in memory: those that its routes need, and others asked for.

What routes need is loaded before it is served, and never let go. A version beside them is loaded
when somebody asks for it by its number (`handlers/asked.py`), and stays until its room is needed:
then the one that nobody has asked for the longest goes first, but not so soon that versions asked
for in turn would be loaded without end (`REST`). One load is under way at a time, beside the event
loop; everything else here runs in it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from onward.core.errors import OnwardError
from onward.core.records import Route
from onward.stages.serve.gateway.metrics.counters import Metrics
from onward.stages.serve.gateway.models import memory
from onward.stages.serve.gateway.models.model import ServedModel
from onward.stages.serve.gateway.routing.job import Handler
from onward.stages.serve.gateway.routing.live import Live
from onward.stages.serve.gateway.words import megabytes, say

REST: Final = 4.0
"""No version is let go for another sooner after a load than this many times what that took: no more
than a fifth of the time goes into loading, whatever is asked for in turn.
"""

PATIENCE_S: Final = 30.0
"""How long a version waits until others may go for it; what would wait longer is refused."""


class NoRoomError(OnwardError):
    """A version that has no room: `again_s` seconds from now it may, None where it never fits."""

    def __init__(self, what: str, *, expected: str, again_s: float | None = None) -> None:
        super().__init__(what, expected=expected)
        self.again_s = again_s


@dataclass(slots=True, eq=False)
class Beside:
    """A version that answers beside the routes: alone, by handlers that are made when asked."""

    live: Live
    handlers: dict[str, Handler] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class Loaded:
    """A version in memory, what it takes there, and when somebody last asked for it beside."""

    model: ServedModel
    bytes: int
    beside: Beside | None = None
    asked: float = 0.0


class Models:
    """Loads versions, and lets go of them.

    Parameters
    ----------
    limit
        How many bytes all of them may take; 0 for any.
    load
        Loads a route's version.
    least
        Returns what a route's version takes at least, before it is loaded: the size of its files.
    """

    def __init__(
        self,
        limit: int,
        metrics: Metrics,
        *,
        load: Callable[[Route], ServedModel],
        least: Callable[[Route], int],
    ) -> None:
        self._limit = limit
        self._metrics = metrics
        self._load = load
        self._least = least
        self._held: dict[str, Loaded] = {}
        self._needed: set[str] = set()
        self._sizes: dict[str, int] = {}
        self._turn = asyncio.Lock()
        self._rests_until = 0.0
        metrics.models = lambda: [(m.model.name, m.model.version, m.bytes) for m in self._all]
        metrics.model_limit = limit

    @property
    def _all(self) -> Collection[Loaded]:
        return self._held.values()

    async def need(self, route: Route) -> ServedModel:
        """Return the version of a route, loaded; it stays while routes need it (`settle`).

        Raises
        ------
        CorruptError
            It cannot be used.
        """
        self._needed.add(route.image.digest)
        return (await self._have(route, beside=False)).model

    async def ask(self, route: Route, served: Callable[[ServedModel], Live]) -> None:
        """Have a version answer beside the routes, as `served` makes it ready.

        Raises
        ------
        NoRoomError
            What routes need leaves no room for it, or it would wait for too long.
        CorruptError
            It cannot be used.
        """
        loaded = await self._have(route, beside=True)
        if loaded.beside is None:
            loaded.beside = Beside(served(loaded.model))
        loaded.asked = time.monotonic()

    def beside(self, digest: str, *, asked: bool = True) -> Beside | None:
        """Return a version that answers beside the routes, None where it is not in memory.

        It is `asked` for unless said otherwise, and so stays longer than others.
        """
        loaded = self._held.get(digest)
        if loaded is None:
            return None
        if asked:
            loaded.asked = time.monotonic()
        return loaded.beside

    def settle(self, needed: Collection[str], known: Collection[str]) -> None:
        """Keep what routes need, and of the versions that are `known` beside them what has room.

        Both are digests. That the needed alone take more than they may is said once.
        """
        self._needed = set(needed)
        gone = 0
        for digest, loaded in list(self._held.items()):
            if digest not in needed and (loaded.beside is None or digest not in known):
                gone += self._held.pop(digest).bytes
        taken = self._taken_by_needed()
        over = 0 < self._limit < taken
        if over and not self._metrics.models_over:
            say(
                f"the versions that routes need take {megabytes(taken)}, more than "
                f"limits.model_bytes ({megabytes(self._limit)}): they are served all the same, and "
                "no other is loaded"
            )
        self._metrics.models_over = over
        self.tidy(gone)

    def tidy(self, gone: int = 0) -> None:
        """Let go of what has no room, and give what is free, `gone` bytes and this, back."""
        gone += self._make_room(0)
        if gone:
            asyncio.get_running_loop().run_in_executor(None, memory.give_back, gone)

    async def _have(self, route: Route, *, beside: bool) -> Loaded:
        """Return a version, loaded if it is not; one `beside` waits until it has room."""
        digest = route.image.digest
        if digest in self._held:  # a return to what is loaded waits for no load of another
            return self._held[digest]
        refused_at = time.monotonic() + PATIENCE_S
        while True:
            async with self._turn:
                if digest in self._held:
                    return self._held[digest]
                size = await self._size_of(route)
                if beside:
                    self._require_room(route, size)
                wait_s = self._rest_s(size) if beside else 0.0
                if wait_s <= 0:
                    return await self._load_now(route, size)
            if time.monotonic() + wait_s > refused_at:
                raise _no_room_yet(route, wait_s)
            await asyncio.sleep(wait_s)

    async def _size_of(self, route: Route) -> int:
        """Return what a version took when it was loaded last, or what it takes at least."""
        known = self._sizes.get(route.image.digest)
        if known is not None:
            return known
        return await asyncio.get_running_loop().run_in_executor(None, self._least, route)

    def _rest_s(self, size: int) -> float:
        """Return how long it is until others may go for `size` bytes; 0 where none have to."""
        taken = sum(loaded.bytes for loaded in self._all)
        if not self._limit or taken + size <= self._limit:
            return 0.0
        return self._rests_until - time.monotonic()

    async def _load_now(self, route: Route, size: int) -> Loaded:
        """Load a version of about `size` bytes, in the room of others."""
        run = asyncio.get_running_loop().run_in_executor
        gone = self._make_room(size)
        if gone:
            await run(None, memory.give_back, gone)
        began = time.perf_counter_ns()
        load = partial(memory.measured, partial(self._load, route), size)
        model, taken = await run(None, load)
        took_ns = time.perf_counter_ns() - began
        self._metrics.model_loaded(model.name, took_ns)
        self._sizes[route.image.digest] = taken
        self._rests_until = time.monotonic() + REST * took_ns / 1e9
        found = self._held[route.image.digest] = Loaded(model, taken)
        _on_one_thread()
        return found

    def _require_room(self, route: Route, size: int) -> None:
        left = self._limit - self._taken_by_needed()
        if self._limit and size > left:
            wanted = route.image.model
            raise NoRoomError(
                f"version {wanted.version} of {wanted.name!r} takes {megabytes(size)}; beside what "
                f"routes need there is room for {megabytes(max(left, 0))}",
                expected="limits.model_bytes to be larger, or fewer versions in routes",
            )

    def _make_room(self, size: int) -> int:
        """Let go of what nobody has asked for the longest until `size` bytes have room.

        Returns how many bytes were let go. Requests under way keep what they use.
        """
        gone = 0
        taken = sum(loaded.bytes for loaded in self._all)
        idle = [(d, m) for d, m in self._held.items() if m.beside and d not in self._needed]
        for digest, loaded in sorted(idle, key=lambda each: each[1].asked):
            if not self._limit or taken - gone + size <= self._limit:
                break
            gone += loaded.bytes
            del self._held[digest]
            model = loaded.model
            self._metrics.evictions[model.name] += 1
            say(f"{model.name}: version {model.version} is let go, {megabytes(loaded.bytes)}")
        return gone

    def _taken_by_needed(self) -> int:
        return sum(loaded.bytes for d, loaded in self._held.items() if d in self._needed)


def _no_room_yet(route: Route, wait_s: float) -> NoRoomError:
    wanted = route.image.model
    return NoRoomError(
        f"version {wanted.version} of {wanted.name!r} has no room yet: another has just got it",
        expected="limits.model_bytes to be larger, where versions are asked for in turn",
        again_s=wait_s,
    )


def _on_one_thread() -> None:
    """Have numeric libraries, those that came with a model too, compute on the loop's thread."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # no stubs

    threadpool_limits(1)  # one row is too little to share out; threads would only wait
