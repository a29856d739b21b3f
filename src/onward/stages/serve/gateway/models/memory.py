"""What a loaded model takes of the process's memory, and giving back what is free."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

T = TypeVar("T")

_STATM: Final = Path("/proc/self/statm")
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


def resident() -> int:
    """Return the bytes of this process that are in memory; 0 where the system does not say."""
    try:
        return int(_STATM.read_bytes().split()[1]) * _PAGE
    except OSError:
        return 0


def give_back(expected: int = 0) -> None:
    """Have what is free returned to the system.

    Objects go as soon as nobody holds them. Those that hold each other wait for the collector,
    which stops the process for some 50 ms: it is called only where less than half of `expected`
    bytes came back without it.
    """
    before = resident()
    _trim()
    if before - resident() < expected // 2:
        gc.collect()
        _trim()


def measured(load: Callable[[], T], least: int) -> tuple[T, int]:
    """Return what `load` gives, and the bytes by which the process grew for it.

    Libraries that are imported on the way are shared, and stay when the model goes: where there
    were any, it is loaded once more, and that is what counts. No less than `least` is said, as what
    other threads let go meanwhile is taken for the model's.
    """
    known = len(sys.modules)
    loaded, grown = _grown(load)
    if len(sys.modules) != known:
        del loaded
        loaded, grown = _grown(load)
    return loaded, max(grown, least)


def _grown(load: Callable[[], T]) -> tuple[T, int]:
    _trim()
    before = resident()
    loaded = load()
    _trim()
    return loaded, resident() - before


def _trim() -> None:
    """Return free pages to the system, where the C library can (glibc's ``malloc_trim``)."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
