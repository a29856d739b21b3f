"""What the gateway asks of others."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol

from onward.core.records import ViewPlan


class OnlineReader(Protocol):
    """The reading half of `core.ports.OnlineStore`: the gateway never writes features."""

    def read(
        self, view: ViewPlan, entities: Sequence[tuple[Any, ...]], at: datetime
    ) -> Sequence[tuple[Any, ...] | None]:
        """Return each entity's features in `view.columns` order; None if missing or past TTL."""
        ...

    def close(self) -> None: ...
