"""How often each caller may call: a bucket for each, in memory that all workers share.

The generic cell rate algorithm (https://en.wikipedia.org/wiki/Generic_cell_rate_algorithm): a
bucket is one number, the moment at which it would be full again. Two workers that take from one
bucket in the same microsecond may count one request for two; nothing locks.
"""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import Final

import xxhash

SLOTS: Final = 1 << 16
_PROBES: Final = 8
_BYTES: Final = SLOTS * 16


class Rates:
    """Buckets of `burst` requests that fill at `per_s` requests a second.

    Parameters
    ----------
    file
        What the workers share; made if it is not there.
    """

    def __init__(self, per_s: float, burst: int, file: Path) -> None:
        self._gap = round(1e9 / per_s)
        self._span = self._gap * burst
        self._burst = burst
        self.policy = f'"caller";q={burst};w={max(1, round(burst / per_s))}'.encode()
        with file.open("ab") as made:
            made.truncate(_BYTES)
        with file.open("r+b") as opened:
            self._map = mmap.mmap(opened.fileno(), _BYTES)
        self._table = memoryview(self._map).cast("Q")

    def take(self, caller: str, now_ns: int) -> tuple[int, int]:
        """Take one request from a caller's bucket.

        Returns how many are left, and how many nanoseconds to wait: for the bucket to be full
        again, or, where there was none to take (-1 are left), for the next one.
        """
        table = self._table
        tag = xxhash.xxh3_64_intdigest(caller.encode()) or 1
        at = self._find(tag, now_ns)
        full = max(table[at + 1], now_ns) if table[at] == tag else now_ns
        if full - now_ns > self._span:  # of another life of the machine, whose clock began anew
            full = now_ns
        full += self._gap
        over = full - now_ns - self._span
        if over > 0:
            return -1, over
        table[at], table[at + 1] = tag, full
        return -over // self._gap, full - now_ns

    def _find(self, tag: int, now_ns: int) -> int:
        """Return where the bucket is, or may be made: a full one is as good as none."""
        table = self._table
        best, earliest = 0, 1 << 64
        for probe in range(_PROBES):
            at = (tag + probe) % SLOTS * 2
            if table[at] == tag:
                return at
            if table[at + 1] < earliest:
                best, earliest = at, table[at + 1]
                if earliest <= now_ns and table[at] == 0:
                    return at
        return best

    def close(self) -> None:
        """Let go of the shared memory."""
        self._table.release()
        self._map.close()
