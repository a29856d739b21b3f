"""Freshness: does data keep coming?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from onward.core.errors import DeclarationError, unknown_name
from onward.core.records import MonitorResult
from onward.stages.monitor.config import Freshness


def freshness(
    monitor: Freshness, newest: Mapping[str, datetime | None], now: datetime
) -> Iterator[MonitorResult]:
    """Yield the age of each source's newest row, in seconds; one without rows is not fresh.

    Raises
    ------
    DeclarationError
        The monitor names a source that is not there.
    """
    if monitor.source is not None and monitor.source not in newest:
        what, expected = unknown_name("source", monitor.source, newest)
        raise DeclarationError(what, expected=expected, location=monitor.location)
    for source in sorted(newest) if monitor.source is None else [monitor.source]:
        yield _reading(source, newest[source], monitor.limit, now)


def _reading(
    source: str, newest: datetime | None, limit: timedelta, now: datetime
) -> MonitorResult:
    age = None if newest is None else now - newest
    return MonitorResult(
        monitor="freshness",
        subject=source,
        value=None if age is None else age.total_seconds(),
        limit=limit.total_seconds(),
        breached=age is None or age > limit,
        detail="there are no rows"
        if newest is None
        else f"the newest row is of {newest:%Y-%m-%d %H:%M} UTC",
    )
