"""Whether others want the processor: by how long this process waited for it.

Linux counts for each thread how long it ran and how long it could have run and did not
(``/proc/self/schedstat``: nanoseconds run, nanoseconds waited, turns). To run only when nothing
else does is a weight, not a rule: a scheduler that is fair gives a turn of up to a tick, 4 ms at
250 Hz, even to a thread that is to have the least. Who sees that it waits, and stops for a while,
takes no such turns.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

SCHEDSTAT: Final = Path("/proc/self/schedstat")


class Contention:
    """What this process's main thread ran and waited since it last asked."""

    def __init__(self, schedstat: Path = SCHEDSTAT) -> None:
        self._schedstat = schedstat
        self._ran, self._waited = self._read()

    def felt(self) -> bool:
        """Whether it has waited longer than it ran since this was last asked.

        A system that does not count that, another than Linux, has none.
        """
        before = self._ran, self._waited
        self._ran, self._waited = self._read()
        return self._waited - before[1] > self._ran - before[0]

    def _read(self) -> tuple[int, int]:
        try:
            ran, waited, _ = map(int, self._schedstat.read_bytes().split())
        except (OSError, ValueError):
            return 0, 0
        return ran, waited
