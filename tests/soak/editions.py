"""Releases without pause: edition after edition, promoted, rolled back for cause, reverted."""

from __future__ import annotations

import random
import subprocess
import threading
import time
from collections import Counter
from contextlib import suppress
from itertools import count
from pathlib import Path

from onward.app.project import open_project
from onward.flow.releases import Release, current, promotions
from soak.keeper import ONWARD
from soak.shop import MODEL, STRATEGIES, Edition, write_orders

PATIENCE_S = 360.0


class Editions(threading.Thread):
    """Writes an edition and new orders, waits for the release to end, and does so again.

    A third of the editions are brittle: they pass every gate, fail in production, and must be
    rolled back. Now and then a person takes a promoted one back.
    """

    def __init__(self, folder: Path, chance: random.Random, log: str) -> None:
        super().__init__(daemon=True)
        self.brittle: set[int] = set()
        self.ends: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.now = "none"
        self._folder, self._chance, self._log = folder, chance, log
        self._numbers = count()
        self._stopped = threading.Event()

    def next(self) -> Edition:
        """Return the next edition; the first is good."""
        number = next(self._numbers)
        kind = "brittle" if number and self._chance.random() < 1 / 3 else "good"
        if kind == "brittle":
            self.brittle.add(number)
        guarantees = {"alternate": ("fast", "strict")}.get(self._log, (self._log,))
        return Edition(
            number=number,
            kind=kind,
            strategy=self._chance.choice(list(STRATEGIES)),
            log=guarantees[number % len(guarantees)],
            on_failure=("refuse", "serve")[number // 2 % 2],
        )

    def run(self) -> None:
        while not self._stopped.wait(self._chance.uniform(5, 15)):
            edition = self.next()
            before = self._newest()
            edition.write(self._folder)
            write_orders(self._folder, edition.number + 1)
            self._follow(edition, before.version if before else 0)
            if self._chance.random() < 0.25:
                self._revert()

    def stop(self) -> None:
        self._stopped.set()
        self.join()

    def _follow(self, edition: Edition, before: int) -> None:
        """Wait until the edition is released or not, and see that it is as it must be."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline and not self._stopped.wait(1):
            release = self._newest()
            if release is None or release.version <= before:
                self.now = f"edition {edition.number} ({edition.kind}) is trained"
                continue
            self.now = f"edition {edition.number} ({edition.kind}): {release.standing}"
            if release.ended is not None:
                self.ends[f"{edition.kind} {release.ended}"] += 1
                if edition.kind == "brittle" and release.ended == "promoted":
                    self.wrong.append(f"edition {edition.number} is brittle and was promoted")
                return
        if not self._stopped.is_set():
            self.ends[f"{edition.kind} without an end"] += 1

    def _revert(self) -> None:
        with open_project(self._folder) as project:
            if len(promotions(project.ledger, MODEL)) < 2:
                return
        command = [ONWARD, "rollback", "--reason", "soaked", "--project", str(self._folder)]
        if subprocess.run(command, check=False, capture_output=True).returncode == 0:
            self.ends["reverted by hand"] += 1

    def _newest(self) -> Release | None:
        with suppress(Exception), open_project(self._folder) as project:
            return current(project.ledger, MODEL)  # a full disk, for one, may keep it from us
        return None
