"""What is done again and again; after an error soon again at first, then more patiently."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from onward.core.disk import full_disk_told
from onward.core.errors import OnwardError

PATIENCE_S: Final = (1.0, 60.0)
"""How long after an error the same is tried again: at first, and, doubled each time, at most."""


class Chore:
    """One of the things that keep a project going, tried again by itself after an error.

    Parameters
    ----------
    do
        Does it. What it raises of `OnwardError` and `OSError` is told, anything else goes on.
    say
        Told of an error, once as long as it stays the same, and when it is over.
    every_s
        Seconds from one time that it was done to the next; 0 does it at each look.
    prefix
        How what is said of an error begins.
    """

    def __init__(
        self,
        do: Callable[[], object],
        say: Callable[[str], None],
        *,
        every_s: float = 0.0,
        prefix: str = "error",
    ) -> None:
        self._do = do
        self._say = say
        self._every_s = every_s
        self._prefix = prefix
        self._due_at = 0.0
        self._pause_s = PATIENCE_S[0]
        self._trouble: tuple[type[Exception], str] | None = None

    def look(self) -> bool:
        """Do it if it is due; return whether nothing is in its way."""
        if time.monotonic() >= self._due_at:
            try:
                with full_disk_told():
                    self._do()
            except (OnwardError, OSError) as error:
                self._failed(error)
            else:
                self._done()
        return self._trouble is None

    def soon(self) -> None:
        """Try what failed again at the next look: something changed that may help."""
        if self._trouble is not None:
            self._due_at, self._pause_s = 0.0, PATIENCE_S[0]

    @property
    def wait_s(self) -> float:
        """Seconds until it is to be done again."""
        return max(0.0, self._due_at - time.monotonic())

    def _done(self) -> None:
        self._due_at = time.monotonic() + self._every_s
        self._pause_s = PATIENCE_S[0]
        if self._trouble is not None:
            self._say(f"no longer in the way: {self._trouble[1]}")
            self._trouble = None

    def _failed(self, error: OnwardError | OSError) -> None:
        self._due_at = time.monotonic() + self._pause_s
        self._pause_s = min(2 * self._pause_s, PATIENCE_S[1])
        # How much room a disk has left differs each time, and is no other trouble.
        trouble = type(error), error.what if isinstance(error, OnwardError) else str(error)
        if trouble != self._trouble:
            self._say(f"{self._prefix}: {error}")
        self._trouble = trouble
