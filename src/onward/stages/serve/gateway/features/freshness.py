"""How fresh the served views are, for ``/metrics``: looked up now and then, beside the requests."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from onward.core.records import Materialized, ViewPlan
from onward.stages.serve.gateway.features.online import Online
from onward.stages.serve.gateway.metrics.counters import Metrics
from onward.stages.serve.gateway.routing.live import Live
from onward.stages.serve.port import OnlineReader

EVERY_S: Final = 5.0


class Freshness:
    """Asks the online store for the marks of the views in service, every `EVERY_S` seconds.

    A store that does not answer leaves the figures as they were.
    """

    def __init__(
        self, online: Online, metrics: Metrics, live: Callable[[], Mapping[str, Live]]
    ) -> None:
        self._online = online
        self._metrics = metrics
        self._live = live
        self._due = 0.0
        self._asked: Sequence[ViewPlan] = ()

    def look(self) -> None:
        """Ask, if it is time or other views are served than before."""
        models = (m for live in self._live().values() for m in live.models.values())
        views = list({reader.view.ref: reader.view for m in models for reader in m.views}.values())
        if not self._online.there or (views == self._asked and time.monotonic() < self._due):
            return
        self._asked, self._due = views, time.monotonic() + EVERY_S

        def marks(store: OnlineReader) -> list[tuple[ViewPlan, Materialized | None]]:
            return [(view, store.mark(view)) for view in views]

        self._online.ask(marks, self._told)

    def _told(self, found: list[tuple[ViewPlan, Materialized | None]] | Exception) -> None:
        if not isinstance(found, Exception):
            self._metrics.views = found
