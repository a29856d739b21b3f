"""What a user declares about closing the loop."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from onward.core.clock import duration
from onward.core.declared import here
from onward.core.errors import DeclarationError, Location


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrain:
    """A run starts when the same monitor breaches `persist` reports in a row, not within
    `cooldown` of the last request, and not while a run or a release is under way.
    """

    cooldown: timedelta
    persist: int
    location: Location | None = field(default=None, compare=False)


def retrain(*, cooldown: str | timedelta = "1d", persist: int = 2) -> Retrain:
    """Retrain on a breach that persists."""
    location = here()
    if persist < 1:
        raise DeclarationError(
            f"persist is {persist}", expected="1 or more reports in a row", location=location
        )
    return Retrain(cooldown=duration(cooldown, location), persist=persist, location=location)
