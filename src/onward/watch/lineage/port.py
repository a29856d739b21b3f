"""The port of lineage outlets: whoever else wants to hear what led to what."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from onward.core.events import Recorded


class Outlet(Protocol):
    """Passes ledger events on, in the form of another system."""

    def send(self, events: Sequence[Recorded]) -> None:
        """Pass events on, in their order; the same ones again change nothing at the other end.

        Raises
        ------
        OnwardError
            The other end does not take them: none of these counts as sent.
        """
        ...
