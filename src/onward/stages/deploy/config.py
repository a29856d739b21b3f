"""What a user declares about acceptance on staging."""

from __future__ import annotations

from dataclasses import dataclass, field

from onward.core.declared import here
from onward.core.errors import DeclarationError, Location


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """The staging gateway's 99th percentile, at one connection, in milliseconds."""

    p99_ms: float
    requests: int
    location: Location | None = field(default=None, compare=False)


def latency(*, p99_ms: float, requests: int = 300) -> Latency:
    """The staged image answers single rows within `p99_ms` at the 99th percentile."""
    location = here()
    if p99_ms <= 0 or requests < 1:
        raise DeclarationError(
            f"the latency gate asks for {p99_ms} ms over {requests} requests",
            expected="more than 0 ms, over 1 request or more",
            location=location,
        )
    return Latency(p99_ms=p99_ms, requests=requests, location=location)
