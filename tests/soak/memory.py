"""What processes of a project take while they live, and whether that grows."""

from __future__ import annotations

import re
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

OLD_ENOUGH_S = 600.0  # a younger process is not judged: what it fills at first is no leak
MOST_MB_AN_HOUR = 24.0
MOST_SHARE = 0.05
MOST_HANDLES = 8  # files and threads that may be more at the end than in the middle


@dataclass(frozen=True, slots=True)
class Sample:
    """A process at a moment: its proportional share of memory in MB, open files, threads."""

    at: float
    role: str
    pid: int
    mb: float
    files: int
    threads: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """What a process took while it lived.

    `mb_an_hour` is the slope of the last two thirds of its life, `growth` what it adds to their
    middle over them, as a share.
    """

    role: str
    pid: int
    lived_s: float
    mb: float
    most_mb: float
    mb_an_hour: float
    growth: float
    more_files: float
    more_threads: float

    @property
    def judged(self) -> bool:
        return self.lived_s >= OLD_ENOUGH_S

    @property
    def flat(self) -> bool:
        """Memory rises by less than 24 MB an hour, or 5 % in all; files and threads stay few."""
        few = max(self.more_files, self.more_threads) <= MOST_HANDLES
        return few and (self.mb_an_hour < MOST_MB_AN_HOUR or self.growth < MOST_SHARE)


def lives(samples: Iterable[Sample]) -> list[Life]:
    """Return the life of each process that was seen three times or more, the longest first."""
    by_process: dict[tuple[str, int], list[Sample]] = defaultdict(list)
    for sample in samples:
        by_process[sample.role, sample.pid].append(sample)
    found = [_life(seen) for seen in by_process.values() if len(seen) >= 3]
    return sorted(found, key=lambda life: -life.lived_s)


def _life(seen: Sequence[Sample]) -> Life:
    from scipy.stats import theilslopes

    begin, end = seen[0].at, seen[-1].at
    late = [s for s in seen if s.at >= begin + (end - begin) / 3]
    at, mb = np.array([s.at for s in late]), np.array([s.mb for s in late])
    slope = float(theilslopes(mb, at).slope) if len(set(at)) > 1 else 0.0
    middle, last = late[: len(late) // 2], late[len(late) // 2 :]
    return Life(
        role=seen[0].role,
        pid=seen[0].pid,
        lived_s=end - begin,
        mb=float(np.median(mb)),
        most_mb=max(s.mb for s in seen),
        mb_an_hour=3600 * slope,
        growth=slope * (late[-1].at - late[0].at) / max(float(np.median(mb)), 1e-9),
        more_files=_more(middle, last, lambda s: s.files),
        more_threads=_more(middle, last, lambda s: s.threads),
    )


def _more(middle: Sequence[Sample], last: Sequence[Sample], of: Callable[[Sample], int]) -> float:
    if not middle or not last:
        return 0.0
    return float(np.median([of(s) for s in last]) - np.median([of(s) for s in middle]))


class Sampler(threading.Thread):
    """Looks at a project's processes, and at the size of its prediction log, every few seconds."""

    def __init__(self, pid: Callable[[], int | None], log: Path, every_s: float) -> None:
        super().__init__(daemon=True)
        self.samples: list[Sample] = []
        self.log_mb: list[tuple[float, float]] = []
        self._pid, self._log, self._every_s = pid, log, every_s
        self._stopped = threading.Event()

    def run(self) -> None:
        while not self._stopped.wait(self._every_s):
            root = self._pid()
            for pid in tree(root) if root is not None else ():
                with suppress(OSError):
                    if role := _role(pid, root):
                        self.samples.append(_sample(pid, role))
            self.log_mb.append((time.monotonic(), folder_mb(self._log)))

    def stop(self) -> None:
        self._stopped.set()
        self.join()


def tree(root: int) -> list[int]:
    """Return a process and its descendants."""
    children: dict[int, list[int]] = defaultdict(list)
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with suppress(OSError):
                parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
                children[int(parent)].append(int(folder.name))
    found = [root]
    for pid in found:
        found += children[pid]
    return found


def words_of(pid: int) -> str:
    """Return a process's command line."""
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()


def _role(pid: int, root: int) -> str | None:
    if pid == root:
        return "project"
    words = words_of(pid)
    if "onward.stages.serve.gateway" not in words or "staging" in words:
        return None
    slot = re.search(r"--slot (\d+)", words)
    shadow = "shadow" in words
    return "shadow" if shadow else f"worker {slot[1]}" if slot else "gateway"


def _sample(pid: int, role: str) -> Sample:
    folder = Path(f"/proc/{pid}")
    [pss] = re.findall(r"^Pss:\s+(\d+) kB", (folder / "smaps_rollup").read_text(), re.MULTILINE)
    return Sample(
        at=time.monotonic(),
        role=role,
        pid=pid,
        mb=int(pss) / 1024,
        files=sum(1 for _ in (folder / "fd").iterdir()),
        threads=sum(1 for _ in (folder / "task").iterdir()),
    )


def folder_mb(folder: Path) -> float:
    """Return what the files of a folder hold."""
    total = 0
    with suppress(OSError):
        for file in folder.iterdir():
            with suppress(OSError):
                total += file.stat().st_size
    return total / 2**20
