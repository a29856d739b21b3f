"""Memory that the libraries beneath hold free, given back to the system."""

from __future__ import annotations

import ctypes


def give_back() -> None:
    """Return what Arrow's pool and the C library hold free.

    Both keep what a job took at its most for the next. In a process that stays, that is for good:
    of a compaction some hundred MB. It takes milliseconds.
    """
    import pyarrow as pa

    pa.default_memory_pool().release_unused()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc has it
    if trim is not None:
        trim(0)
