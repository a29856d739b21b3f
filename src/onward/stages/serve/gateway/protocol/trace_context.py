"""W3C trace context: which trace a request belongs to, and whether it is recorded.

https://www.w3.org/TR/trace-context/. What the caller decided holds; a request that says nothing is
recorded by chance.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from typing import Final

TRACEPARENT: Final = b"traceparent"
TRACESTATE: Final = b"tracestate"

_FORM: Final = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")


class Trace:
    """A recorded request's place in its trace; `marks` are when its turn's steps ended."""

    __slots__ = ("id", "marks", "parent", "span", "state")

    def __init__(self, id: int, parent: int, state: str) -> None:
        self.id, self.parent, self.state = id, parent, state
        self.span = random.getrandbits(64) or 1
        self.marks: tuple[int, ...] = ()


def trace_of(headers: Mapping[bytes, bytes], ratio: float) -> Trace | None:
    """Return the place of a request that is recorded, None for another.

    `ratio` is the share that is recorded of those whose caller decided nothing.
    """
    told = headers.get(TRACEPARENT)
    found = told and parsed(told)
    if found:
        trace, parent, sampled = found
        if not sampled:
            return None
        return Trace(trace, parent, headers.get(TRACESTATE, b"").decode("latin-1"))
    if random.random() >= ratio:
        return None
    return Trace(random.getrandbits(128) or 1, 0, "")


def parsed(told: bytes) -> tuple[int, int, bool] | None:
    """Return a ``traceparent``'s trace, parent, and whether it is recorded; None for none."""
    found = _FORM.fullmatch(told.strip())
    if found is None:
        return None
    version, trace, parent, flags, more = found.groups()
    if version == b"ff" or (version == b"00" and more is not None):
        return None
    ids = int(trace, 16), int(parent, 16)
    return None if 0 in ids else (*ids, bool(int(flags, 16) & 1))
