"""A ring between the loop, which appends, and a thread, which takes out all there is."""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")


class Ring(Generic[T]):
    """Hands what is appended to `work`, in groups, every `every_s` seconds, on a thread.

    `dropped` counts what found the ring full, or could not be worked on.
    """

    def __init__(
        self, work: Callable[[Sequence[T]], None], *, name: str, size: int, every_s: float
    ) -> None:
        self._work = work
        self._held: deque[T] = deque()
        self._size = size
        self._every_s = every_s
        self._closing = threading.Event()
        self.dropped = 0
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def append(self, item: T) -> None:
        """Leave an item; never waits."""
        if len(self._held) < self._size:
            self._held.append(item)
        else:
            self.dropped += 1

    def close(self) -> None:
        """Work on what is left, and end."""
        self._closing.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._closing.wait(self._every_s):
            self._empty()
        self._empty()

    def _empty(self) -> None:
        held = self._held
        taken = [held.popleft() for _ in range(len(held))]
        if not taken:
            return
        try:
            self._work(taken)
        except Exception as error:  # whatever it is, requests must not feel it
            self.dropped += len(taken)
            name = threading.current_thread().name
            print(f"{name}: {len(taken)} are lost: {error!r}", file=sys.stderr, flush=True)
