"""`onward up` as production keeps it: started again whenever it ends; and what is done to it."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx

from onward.stages.serve.gateway.metrics.board import Board, Told
from onward.stages.serve.gateway.process.local import read_address
from soak.answers import Window
from soak.disk import no_room
from soak.memory import tree
from soak.shop import MODEL

ONWARD = str(Path(sys.executable).with_name("onward"))
WHOLE_S = 180.0  # after what was done to it, a project serves again within so long


class BrokenError(Exception):
    """The project did not get whole again."""


class Keeper(threading.Thread):
    """Runs `onward up` and starts it again when it ends, as a service manager does."""

    def __init__(self, folder: Path, workers: int) -> None:
        super().__init__(daemon=True)
        self.folder, self.workers = folder, workers
        self.windows: list[Window] = []
        self.happened: Counter[str] = Counter()
        self.ended: list[tuple[float, str]] = []  # when it ended by itself, and its last words
        self.state = folder / ".onward"
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self._said = folder.parent / "up.log"
        self._stopped = threading.Event()
        self._process = self._up()
        self.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def pids(self) -> list[int]:
        return tree(self.pid)

    def run(self) -> None:
        while not self._stopped.wait(0.2):
            if self._process.poll() is not None:
                words = self._said.read_text(errors="replace").strip().splitlines()
                self.ended.append((time.monotonic(), words[-1] if words else "it said nothing"))
                self._stopped.wait(0.5)
                self._process = self._up()

    def finish(self) -> int:
        """Stop it as a person does; return its exit status."""
        self._stopped.set()
        self.join()
        self._process.send_signal(signal.SIGINT)
        try:
            return self._process.wait(60)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)

    def _up(self) -> subprocess.Popen[bytes]:
        command = [ONWARD, "up", "--project", str(self.folder), "--port", str(self.port)]
        with self._said.open("ab") as said:
            return subprocess.Popen(command, stdout=said, stderr=said, start_new_session=True)

    # ------------------------------------------------------------ how it stands

    def workers_ready(self) -> list[Told]:
        """Return the workers that serve."""
        with suppress(OSError):
            told, _ = Board(self.state / "gateway").read()
            return [each for each in told if each.state == "ready" and _runs(each.pid)]
        return []

    def whole(self) -> bool:
        """Whether all of it serves."""
        with suppress(httpx.HTTPError):
            ready = httpx.get(f"http://127.0.0.1:{self.port}/v2/health/ready", timeout=5)
            return ready.status_code == 200 and len(self.workers_ready()) == self.workers
        return False

    def until(self, holds: Callable[[], bool], what: str = "serve again") -> None:
        """Wait for something.

        Raises
        ------
        BrokenError
            It did not come to hold.
        """
        deadline = time.monotonic() + WHOLE_S
        while not holds():
            if time.monotonic() > deadline:
                raise BrokenError(f"it did not {what} within {WHOLE_S:g} s: see {self._said}")
            time.sleep(0.1)

    # ------------------------------------------------------------ what is done to it

    def trouble(self, chance: random.Random, *, calm: bool, mounted: bool) -> None:
        """Do one of the things that lose nothing; where it is `calm`, most processes live on."""
        kinds = ["worker", "full"] if calm else ["worker"] * 3 + ["up", "gateway", "renew", "full"]
        if self.workers == 1:
            kinds = ["full"] if calm else ["up", "gateway", "full"]
        match chance.choice(kinds):
            case "worker":
                self._kill_worker(chance, calm=calm)
            case "gateway":
                self._kill_gateway()
            case "up":
                self._kill_project()
            case "renew":
                self._renew()
            case "full":
                self._fill(chance.uniform(3, 8), mounted)

    def _kill_worker(self, chance: random.Random, *, calm: bool) -> None:
        able = [each for each in self.workers_ready() if each.slot > 0 or not calm]
        if able:
            pid = chance.choice(able).pid
            with self._broken("worker killed"):
                os.kill(pid, signal.SIGKILL)
                self.until(lambda: pid not in [each.pid for each in self.workers_ready()])

    def _kill_gateway(self) -> None:
        before = read_address(self.state / "gateway")
        if before is None:
            return
        with self._broken("gateway killed"):
            os.kill(before.pid, signal.SIGKILL)
            self.until(lambda: (now := self._address()) is not None and now != before.pid)

    def _kill_project(self) -> None:
        up, gateway = self.pid, self._address()
        with self._broken("project killed"):
            os.kill(up, signal.SIGKILL)  # its gateway notices, and drains
            self.until(lambda: self.pid != up and self._address() not in (None, gateway))

    def _renew(self) -> None:
        """Have every worker replaced by a new one: no request may notice."""
        gateway = self._address()
        if gateway is None:
            return
        before = {each.pid for each in self.workers_ready()}
        os.kill(gateway, signal.SIGHUP)
        self.happened["workers renewed"] += 1
        self.until(
            lambda: self.whole() and not before & {each.pid for each in self.workers_ready()},
            "renew its workers",
        )

    def _fill(self, seconds: float, mounted: bool) -> None:
        serves = self._serves_unlogged()
        with (
            self._broken("disk full", unlogged=serves),
            no_room(self.state, mounted, self.pids),
        ):
            time.sleep(seconds)

    @contextmanager
    def _broken(self, kind: str, *, unlogged: bool = False) -> Iterator[None]:
        """Note when something is broken, until all serves again."""
        self.happened[kind] += 1
        begin = time.monotonic()
        try:
            yield
            self.until(self.whole)
        finally:
            self.windows.append(
                Window(kind=kind, begin=begin, end=time.monotonic(), unlogged=unlogged)
            )

    def _address(self) -> int | None:
        found = read_address(self.state / "gateway")
        return found and found.pid

    def _serves_unlogged(self) -> bool:
        """Whether the gateway is told to answer what it cannot log."""
        routes = json.loads((self.state / "routes" / f"{MODEL}.json").read_bytes())
        return bool(routes.get("on_log_failure") == "serve")


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
