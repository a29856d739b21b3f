"""The online store as the gateway's loop asks it: in place, or on a thread beside the loop."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Any, TypeAlias, TypeVar

from onward.core.errors import UnavailableError
from onward.core.ports import Lookup, OnlineRow
from onward.stages.serve.gateway.features.golden import GoldenStore
from onward.stages.serve.gateway.models.image import MODEL_FOLDER, cache_of, unpack
from onward.stages.serve.gateway.settings import GatewayConfig
from onward.stages.serve.port import OnlineReader

T = TypeVar("T")

Found: TypeAlias = Sequence[Sequence[OnlineRow | None]]


def open_store(config: GatewayConfig) -> OnlineReader | None:
    """Open what is asked for features, if anything: on staging, what the golden rows came with."""
    if config.image is not None and config.golden_views:
        return GoldenStore(unpack(config.image, cache_of(config)) / MODEL_FOLDER)
    if config.online is None:
        return None
    store: OnlineReader = config.online.make()
    return store


class Online:
    """Asks a store, and tells the asker in the loop's own thread.

    A store in this process answers before `read` returns. A remote one is asked on a thread, and
    what has not come by `timeout_s` is an error; until the thread is back from it, every further
    question is answered by that error at once. Without a store nothing is ever found.
    """

    def __init__(self, store: OnlineReader | None, *, timeout_s: float) -> None:
        self._store = store
        self._timeout_s = timeout_s
        self._loop = asyncio.get_running_loop()
        self._late: UnavailableError | None = None
        self._asked: SimpleQueue[Callable[[], None] | None] | None = None
        if store is not None and store.remote:
            self._asked = SimpleQueue()
            threading.Thread(
                target=_serve, args=(self._asked,), name="online-store", daemon=True
            ).start()

    @property
    def there(self) -> bool:
        """Whether there is a store at all."""
        return self._store is not None

    def read(self, lookups: Sequence[Lookup], told: Callable[[Found | Exception], None]) -> None:
        """Look up, and tell the rows or the error."""
        store = self._store
        if store is None:
            told([[None] * len(entities) for _, entities in lookups])
            return
        self.ask(lambda store: store.read(lookups), told)

    def ask(self, work: Callable[[OnlineReader], T], told: Callable[[T | Exception], None]) -> None:
        """Have `work` done on the store, which must be there, and tell its result or its error."""
        store = self._store
        if store is None:
            raise LookupError("there is no online store")
        if self._asked is None:
            told(_result(work, store))
            return
        if self._late is not None:
            told(self._late)
            return
        waiting = _Waiting(told)
        expiry = self._loop.call_later(self._timeout_s, self._expire, waiting)

        def done(result: T | Exception) -> None:
            expiry.cancel()
            self._late = None
            waiting.tell(result)

        def work_and_tell() -> None:
            result = _result(work, store)
            with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
                self._loop.call_soon_threadsafe(done, result)

        self._asked.put(work_and_tell)

    def _expire(self, waiting: _Waiting) -> None:
        self._late = UnavailableError(
            f"the online store has not answered within {self._timeout_s:g} s"
        )
        waiting.tell(self._late)

    def close(self) -> None:
        """Let go of the store; a question that is out is not waited for."""
        if self._asked is not None:
            self._asked.put(None if self._store is None else self._store.close)
            self._asked.put(None)
        elif self._store is not None:
            self._store.close()


class _Waiting:
    """Somebody who is told once."""

    def __init__(self, told: Callable[[Any], None]) -> None:
        self._told: Callable[[Any], None] | None = told

    def tell(self, result: object) -> None:
        told, self._told = self._told, None
        if told is not None:
            told(result)


def _result(work: Callable[[OnlineReader], T], store: OnlineReader) -> T | Exception:
    try:
        return work(store)
    except Exception as error:
        return error


def _serve(asked: SimpleQueue[Callable[[], None] | None]) -> None:
    while (work := asked.get()) is not None:
        work()
