"""What the gateway asks of others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from onward.core.ports import Lookup, OnlineRow
from onward.core.records import Materialized, ViewPlan


class OnlineReader(Protocol):
    """The reading half of `core.ports.OnlineStore`: the gateway never writes features."""

    @property
    def remote(self) -> bool:
        """Whether a read waits for a server: the gateway then reads on a thread beside its loop."""
        ...

    def read(self, lookups: Sequence[Lookup]) -> Sequence[Sequence[OnlineRow | None]]:
        """Return, for each lookup, each entity's row or None: one round trip for all of them.

        Raises
        ------
        UnavailableError
            The server does not answer in time.
        """
        ...

    def mark(self, view: ViewPlan) -> Materialized | None:
        """Return how far the view is written, or None before the first write."""
        ...

    def close(self) -> None: ...
