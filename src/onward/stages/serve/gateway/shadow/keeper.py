"""Starting shadows: one process for each model whose routes have one, among all workers."""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from onward.stages.serve.gateway.metrics.progress import Progress
from onward.stages.serve.gateway.routing.live import Live
from onward.stages.serve.gateway.settings import GatewayConfig
from onward.stages.serve.release.config import SHADOW

AGAIN_S: Final = 1.0
"""Seconds before a shadow that ended is started again."""

NICE: Final = 19


class Shadows:
    """A worker's part in keeping shadows: it starts those that no worker has started.

    A shadow holds a lock on a file for as long as it lives, handed to it by the worker that took
    the lock; so there is one, whichever worker starts it, and another where it was killed.
    """

    def __init__(self, config: GatewayConfig) -> None:
        self._config = config
        self._state = Path(config.state)
        self._started: dict[str, subprocess.Popen[bytes]] = {}
        self._not_before: dict[str, float] = {}
        self._since: dict[str, int] = {}

    def look(self, live: Mapping[str, Live]) -> None:
        """Start the shadows that are wanted and do not run; those not wanted end by themselves."""
        if self._config.predictions is None:
            return
        wanted = [
            name
            for name, routes in live.items()
            if any(route.arm == SHADOW for route in routes.routes.routes)
        ]
        self._since = {name: self._since.get(name, time.time_ns()) for name in wanted}
        for name in wanted:
            self._ensure(name)
        for name, process in list(self._started.items()):
            if process.poll() is not None:
                del self._started[name]
                self._not_before[name] = time.monotonic() + AGAIN_S

    def told(self) -> Mapping[str, Progress]:
        """Return how far the shadow of each model is that has one.

        One that never was abreast of its champion is behind since this worker first knew of it.
        """
        found = {}
        for name, since in self._since.items():
            progress = Progress.read(Progress.place(self._state, name)) or Progress()
            progress.abreast_ns = max(progress.abreast_ns, since)
            found[name] = progress
        return found

    def close(self) -> None:
        """End those that this worker started."""
        for process in self._started.values():
            process.terminate()
        for process in self._started.values():
            process.wait()

    def _ensure(self, name: str) -> None:
        if name in self._started or time.monotonic() < self._not_before.get(name, 0.0):
            return
        lock = os.open(self._state / f"shadow-{name}.lock", os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # another worker's shadow runs
            self._not_before[name] = time.monotonic() + AGAIN_S
        else:
            self._started[name] = self._start(name, lock)
        finally:
            os.close(lock)

    def _start(self, name: str, lock: int) -> subprocess.Popen[bytes]:
        file = self._state / "shadow.json"
        file.touch(0o600)  # a store's URL may hold a password
        file.write_bytes(msgspec.json.encode(self._config))
        process = subprocess.Popen(
            [
                sys.executable, "-m", "onward.stages.serve.gateway.shadow.process",
                "--config", str(file), "--model", name,
            ],
            stdin=subprocess.DEVNULL,
            pass_fds=(lock,),
        )  # fmt: skip
        yields(process.pid)
        return process


def yields(pid: int) -> None:
    """Let a process run only when nothing else wants its processor, from its first import on.

    A shadow that wakes up then takes no time from a worker, and a worker that wakes up need not
    wait until a shadow has had its slice. On a machine that is never idle a shadow falls behind;
    it loses nothing.
    """
    with contextlib.suppress(OSError):  # it is gone already
        os.setpriority(os.PRIO_PROCESS, pid, NICE)
        if hasattr(os, "SCHED_IDLE"):  # Linux
            os.sched_setscheduler(pid, os.SCHED_IDLE, os.sched_param(0))
