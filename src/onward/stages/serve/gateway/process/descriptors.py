"""File descriptors: as many as connections need, and some that no connection gets."""

from __future__ import annotations

import resource
from typing import Final

SPARE: Final = 256
"""What a worker keeps for itself: segments, models, stores, calls over gRPC."""


def connections_within(wanted: int) -> int:
    """Raise this process's limit of open files for so many connections; return how many it allows.

    A system often begins with 1,024, which a client could use up.
    """
    limit, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + SPARE
    if limit == resource.RLIM_INFINITY or limit >= needed:
        return wanted
    limit = needed if most == resource.RLIM_INFINITY else min(needed, most)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, most))
    return min(wanted, max(limit - SPARE, limit // 2))
