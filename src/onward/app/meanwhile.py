"""What goes on beside something that may take hours."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event

from onward.app.chore import Chore


@contextmanager
def meanwhile(
    chores: Sequence[Chore], say: Callable[[str], None], *, every_s: float
) -> Iterator[None]:
    """Look at chores, in a thread of their own, as long as the block lasts.

    Their first look is after `every_s`, so a short block sees none. The block is not left in the
    middle of a look: whoever goes on is alone with the chores again.

    Raises
    ------
    Exception
        What a chore raised that nobody foresaw, once the block has ended without an error of its
        own. It is told at once: no chore is looked at in between.
    """
    over = Event()

    def look() -> None:
        try:
            while not over.wait(every_s):
                for chore in chores:
                    chore.look()
        except Exception as error:
            say(f"error: {error!r}; it ends this once what is under way has ended")
            raise

    with ThreadPoolExecutor(1, thread_name_prefix="meanwhile") as pool:
        looking = pool.submit(look)
        try:
            yield
        finally:
            over.set()
    looking.result()
