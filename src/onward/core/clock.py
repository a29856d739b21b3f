"""Time is injected, so a year replays in minutes through the code that runs live."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Protocol

from onward.core.errors import DeclarationError, Location


class Clock(Protocol):
    """What tells the time. Every time in Onward is aware and in UTC."""

    def now(self) -> datetime:
        """Return the present moment, aware, in UTC."""
        ...


class SystemClock:
    """The wall clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)


class ReplayClock:
    """A clock that stands where it was last set; it never goes back."""

    def __init__(self, start: datetime) -> None:
        self._now = utc(start)

    def now(self) -> datetime:
        return self._now

    def advance(self, to: datetime) -> None:
        """Move to `to`; a moment that has already passed leaves the clock where it is."""
        self._now = max(self._now, utc(to))


def utc(moment: datetime) -> datetime:
    """Return `moment` in UTC; a naive one is read as UTC."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


_UNITS = {"ms": 1e-3, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_DURATION = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|min|m|h|d|w)\s*")


def duration(text: str | timedelta, location: Location | None = None) -> timedelta:
    """Read a duration such as ``"30d"``, ``"2h"`` or ``"1h 30m"``.

    Raises
    ------
    DeclarationError
        The text is no duration, or not a positive one.
    """
    if isinstance(text, timedelta):
        found = text
    else:
        end, seconds = 0, 0.0
        while match := _DURATION.match(text, end):
            seconds += float(match[1]) * _UNITS[match[2]]
            end = match.end()
        found = timedelta(seconds=seconds if text and end == len(text) else 0)
    if found <= timedelta(0):
        raise DeclarationError(
            f"{text!r} is not a duration",
            expected="a positive number and a unit: '500ms', '30s', '15m', '2h', '30d', '1w'",
            location=location,
        )
    return found
