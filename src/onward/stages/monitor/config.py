"""What a user declares about watching production."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal

from onward.core.clock import duration
from onward.core.declared import here
from onward.core.errors import DeclarationError, Location, unknown_name


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """Features and predictions of a window against the training rows, by effect size."""

    measure: Literal["psi", "jensen_shannon"]
    limit: float
    columns: tuple[str, ...] | None
    share: float
    location: Location | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Performance:
    """A metric on mature labels: below `at_least`, or worse than at evaluation by `max_drop`."""

    metric: str
    max_drop: float | None
    at_least: float | None
    minimum: int
    location: Location | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operational:
    """Error rate and 99th percentile of latency over the window."""

    max_error_rate: float
    p99_ms: float | None
    location: Location | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Freshness:
    """The newest row of each source is no older than this."""

    limit: timedelta
    source: str | None
    location: Location | None = field(default=None, compare=False)


Monitor = Drift | Performance | Operational | Freshness


def drift(
    measure: Literal["psi", "jensen_shannon"] = "psi",
    *,
    limit: float = 0.2,
    columns: Sequence[str] | None = None,
    share: float = 0.3,
) -> Drift:
    """A column drifts when `measure` exceeds `limit`; data drift when `share` of columns do.

    The prediction's distribution is judged by the same measure, on its own.
    """
    location = here()
    if measure not in ("psi", "jensen_shannon"):
        what, expected = unknown_name("drift measure", measure, ("psi", "jensen_shannon"))
        raise DeclarationError(what, expected=expected, location=location)
    if limit <= 0 or not 0 < share <= 1:
        raise DeclarationError(
            f"drift's limit is {limit}, its share {share}",
            expected="a limit above 0, and a share of columns above 0 and up to 1",
            location=location,
        )
    picked = None if columns is None else tuple(columns)
    return Drift(measure=measure, limit=limit, columns=picked, share=share, location=location)


def performance(
    metric: str, *, max_drop: float | None = None, at_least: float | None = None,
    minimum: int = 200,
) -> Performance:  # fmt: skip
    """The metric on rows whose label has arrived holds up."""
    if max_drop is None and at_least is None:
        max_drop = 0.05
    return Performance(
        metric=metric, max_drop=max_drop, at_least=at_least, minimum=minimum, location=here()
    )


def operational(*, max_error_rate: float = 0.01, p99_ms: float | None = None) -> Operational:
    """Few errors, and answers in time."""
    location = here()
    if not 0 <= max_error_rate <= 1 or (p99_ms is not None and p99_ms <= 0):
        raise DeclarationError(
            f"max_error_rate is {max_error_rate}, p99_ms {p99_ms}",
            expected="a share of requests from 0 to 1, and more than 0 ms",
            location=location,
        )
    return Operational(max_error_rate=max_error_rate, p99_ms=p99_ms, location=location)


def freshness(limit: str | timedelta, *, source: str | None = None) -> Freshness:
    """Data keeps coming."""
    location = here()
    return Freshness(limit=duration(limit, location), source=source, location=location)
