"""What a server costs: CPU and memory of a process and of all that it started, from /proc."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")
_PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 2**20


def tree(pid: int) -> list[int]:
    """Return a process and its descendants, the eldest first."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and (fields := _stat(int(folder.name))):
            children.setdefault(int(fields[1]), []).append(int(folder.name))
    found = [pid]
    for each in found:
        found.extend(children.get(each, ()))
    return found


def cpu_seconds(pid: int) -> float:
    """Return what a tree has used, all threads, with children that ended and were waited for."""
    return sum(sum(int(f) for f in _stat(each)[11:15]) for each in tree(pid)) / _TICK


def own_cpu_seconds(pid: int) -> float:
    """Return what a process has used, all its threads and none of its children."""
    return sum(int(f) for f in _stat(pid)[11:13]) / _TICK


def memory_mb(pid: int) -> float:
    """Return the resident memory of a tree; a page that several share counts in each."""
    return sum(int(fields[21]) for each in tree(pid) if (fields := _stat(each))) * _PAGE_MB


def end(pid: int, patience_s: float = 15.0) -> None:
    """End a tree that this process started: asked first, then killed."""
    members = tree(pid)
    _signal(members[:1], signal.SIGTERM)
    deadline = time.monotonic() + patience_s
    while any(_runs(each) for each in members) and time.monotonic() < deadline:
        time.sleep(0.05)
    _signal([each for each in members if _runs(each)], signal.SIGKILL)


def _signal(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _runs(pid: int) -> bool:
    return _stat(pid)[:1] not in ([], ["Z"])


def _stat(pid: int) -> list[str]:
    """Return the fields after a process's name, the state first; none if it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []
