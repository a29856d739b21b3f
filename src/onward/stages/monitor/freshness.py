"""Freshness: does data keep coming?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from onward.core.errors import DeclarationError, unknown_name
from onward.core.records import MonitorResult
from onward.stages.monitor.config import Freshness


def freshness(
    monitor: Freshness,
    newest: Mapping[str, datetime | None],
    views: Mapping[str, datetime | None],
    now: datetime,
) -> Iterator[MonitorResult]:
    """Yield the ages of the newest rows, in seconds; what has no rows is not fresh.

    Raises
    ------
    DeclarationError
        The monitor names a source or a view that is not there.
    """
    if monitor.view is not None:
        found = _named("feature view of the champion", monitor.view, views, monitor)
        yield _reading(f"view {monitor.view}", found, monitor.limit, now)
        return
    for source in sorted(newest) if monitor.source is None else [monitor.source]:
        found = _named("source", source, newest, monitor)
        yield _reading(source, found, monitor.limit, now)


def _named(
    kind: str, name: str, newest: Mapping[str, datetime | None], monitor: Freshness
) -> datetime | None:
    if name not in newest:
        what, expected = unknown_name(kind, name, newest)
        raise DeclarationError(what, expected=expected, location=monitor.location)
    return newest[name]


def _reading(
    subject: str, newest: datetime | None, limit: timedelta, now: datetime
) -> MonitorResult:
    age = None if newest is None else now - newest
    return MonitorResult(
        monitor="freshness",
        subject=subject,
        value=None if age is None else age.total_seconds(),
        limit=limit.total_seconds(),
        breached=age is None or age > limit,
        detail="there are no rows"
        if newest is None
        else f"the newest row is of {newest:%Y-%m-%d %H:%M} UTC",
    )
