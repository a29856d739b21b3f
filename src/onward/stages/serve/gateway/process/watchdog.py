"""A worker alone, which no supervisor keeps, ends itself where its event loop stands still.

A thread of C keeps the time (`faulthandler`). It needs neither the loop nor the interpreter's lock,
so a library that never gives that back is found out too. It writes to the gateway's log where every
thread is, and ends the process at once, as a supervisor would; whoever keeps it starts it again.
"""

from __future__ import annotations

import asyncio
import faulthandler
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

BEAT_S: Final = 1.0
"""Seconds, at most, between two signs of the loop that it turns."""


@contextmanager
def watched(hang_s: float) -> Iterator[None]:
    """Within, let the running loop stand still for no longer than `hang_s`; 0 is for ever."""
    if not hang_s:
        yield
        return
    loop = asyncio.get_running_loop()
    again: asyncio.TimerHandle | None = None

    def beat() -> None:
        nonlocal again
        faulthandler.dump_traceback_later(hang_s, exit=True)
        again = loop.call_later(min(BEAT_S, hang_s / 4), beat)

    beat()
    try:
        yield
    finally:
        if again is not None:
            again.cancel()
        faulthandler.cancel_dump_traceback_later()
