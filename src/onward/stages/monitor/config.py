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
    """The newest row of each source, or of one, or of a feature view online, is no older."""

    limit: timedelta
    source: str | None
    view: str | None = None
    location: Location | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Skew:
    """Features were served as the lake gives them again, but for a share of the vectors."""

    sample: float
    max_mismatch: float
    minimum: int
    location: Location | None = field(default=None, compare=False)


Monitor = Drift | Performance | Operational | Freshness | Skew


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


def freshness(
    limit: str | timedelta, *, source: str | None = None, view: str | None = None
) -> Freshness:
    """Data keeps coming: into every source, into `source`, or online into the feature view `view`.

    A view is as fresh as the newest event time among its rows in the online store, in the version
    that the champion reads.
    """
    location = here()
    if source is not None and view is not None:
        raise DeclarationError(
            f"freshness is asked of source {source!r} and of view {view!r} at once",
            expected="one ow.freshness(...) for each",
            location=location,
        )
    return Freshness(limit=duration(limit, location), source=source, view=view, location=location)


def skew(*, sample: float = 0.1, max_mismatch: float = 0.01, minimum: int = 100) -> Skew:
    """Serving and training see the same features, in a sample of the window's predictions.

    Parameters
    ----------
    sample
        The share of units to look at, chosen by a hash of their key.
    max_mismatch
        The share of vectors in which a feature may be served otherwise than the lake gives it
        again, as of the request: another value, none, or one too many.
    minimum
        How many vectors there must be to judge.
    """
    location = here()
    if not 0 < sample <= 1 or not 0 <= max_mismatch < 1:
        raise DeclarationError(
            f"skew's sample is {sample}, its max_mismatch {max_mismatch}",
            expected="a sample above 0 and up to 1, and a share of vectors from 0 to below 1",
            location=location,
        )
    return Skew(sample=sample, max_mismatch=max_mismatch, minimum=minimum, location=location)
