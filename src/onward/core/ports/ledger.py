"""The ledger: what happened, in order, tamper-evident."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from onward.core.events import Event, Recorded


class Ledger(Protocol):
    """The append-only event table, each event hashed over the one before."""

    def append(self, event: Event) -> Recorded:
        """Record an event; one with the same kind and key is returned as it stands."""
        ...

    def events(
        self,
        *,
        kind: str | None = None,
        subject: str | None = None,
        run: str | None = None,
        after: int = 0,
        newest_first: bool = False,
        limit: int | None = None,
    ) -> Sequence[Recorded]:
        """Return events that match, by sequence."""
        ...

    def producing(
        self, ref: str, *, before: int | None = None, last: int | None = None
    ) -> Sequence[Recorded]:
        """Return the events that name `ref` among their outputs, by sequence.

        Only those before the sequence number `before`, and of them the `last` so many.
        """
        ...

    def consuming(self, ref: str) -> Sequence[Recorded]:
        """Return the events that name `ref` among their inputs, by sequence."""
        ...

    def refs(self, prefix: str, *, limit: int | None = None) -> Sequence[str]:
        """Return the refs that begin with `prefix` and that some event names, sorted."""
        ...

    def verify(self) -> int:
        """Check the whole chain against its checkpoints; return the number of events.

        Raises
        ------
        CorruptError
            An event was altered, removed, or cut off the end.
        """
        ...
