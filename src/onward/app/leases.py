"""Leases: one process at a time takes a source in, and the next one learns what was cut short."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Final

_LOOK_S: Final = 0.5  # between looks at a lease that another process holds
_NOW: Final = Event()  # ends a wait before it begins
_NOW.set()


class Lease:
    """The right to take a source in, held by a process and let go however that process ends.

    It saves work and is not what correctness rests on: two processes that took in one source at
    once would publish every row once, too, by beginning again where the other was faster.

    Parameters
    ----------
    folder
        Where a project's leases are.
    name
        The source's name.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._lock = folder / f"{name}.lock"
        self._note = folder / name

    @contextmanager
    def held(self) -> Iterator[bool]:
        """Hold the lease; false if another process does."""
        with self.waited_for(_NOW, lambda: None) as mine:
            yield mine

    @contextmanager
    def waited_for(self, stop: Event, busy: Callable[[], None]) -> Iterator[bool]:
        """Hold the lease once whoever holds it lets go; false if `stop` was set before.

        `busy` is called once if it has to be waited for.
        """
        from filelock import FileLock, Timeout

        self._lock.parent.mkdir(parents=True, exist_ok=True)
        lock, told = FileLock(self._lock), False
        while True:
            try:
                lock.acquire(timeout=0)
                break
            except Timeout:
                if not told:
                    busy()
                told = True
                if stop.wait(_LOOK_S):
                    yield False
                    return
        try:
            yield True
        finally:
            lock.release()

    def begin(self, run: str) -> None:
        """Note the batch that is begun, for whoever holds the lease next."""
        self._note.write_text(f"{os.getpid()} {run}\n")

    def end(self) -> None:
        """Note that nothing was cut short."""
        self._note.unlink(missing_ok=True)

    def holder(self) -> str:
        """Return the id of the process that began the last batch, or a question mark."""
        return self._words()[0]

    def cut_short(self) -> str | None:
        """Return the batch that a holder before began and did not end, or None."""
        return self._words()[1] or None

    def _words(self) -> tuple[str, str]:
        text = self._note.read_text() if self._note.exists() else ""
        process, _, run = text.strip().partition(" ")
        return process or "?", run
