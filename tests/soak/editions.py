"""Releases without pause: edition after edition, promoted, rolled back for cause, reverted."""

from __future__ import annotations

import random
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path

from onward.app.project import open_project
from onward.flow.release.releases import Release, current
from onward.flow.run.runs import RunEntry
from soak.keeper import ONWARD
from soak.shop import MODEL, STRATEGIES, Edition, write_orders

PATIENCE_S = 360.0
ASK_S = 45.0  # after which a run is asked for


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
        self._known: set[str] = set()
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
        self._project = open_project(self._folder)
        while not self._stopped.wait(self._chance.uniform(5, 15)):
            self._known = {run.id for run in self._runs()}
            edition = self.next()
            edition.write(self._folder)
            write_orders(self._folder, edition.number + 1)
            end = self._follow(edition)
            if end is not None:
                self.ends[f"{edition.kind}: {end}"] += 1
            if edition.kind == "brittle" and end == "promoted":
                self.wrong.append(f"edition {edition.number} is brittle and was promoted")
            if end == "promoted" and self._chance.random() < 0.4:
                self._revert()

    def stop(self) -> None:
        self._stopped.set()
        self.join()

    def saw(self, *ends: str) -> bool:
        """Whether releases ended in each of these ways."""
        return all(any(what.endswith(end) for what in self.ends) for end in ends)

    def _follow(self, edition: Edition) -> str | None:
        """Wait until the edition's release has ended, and say how; None if stopped before.

        `onward up` trains what changed by itself; where it was killed at that moment, it is asked.
        """
        begin = time.monotonic()
        asked: subprocess.Popen[bytes] | None = None
        while time.monotonic() < begin + PATIENCE_S:
            if self._stopped.wait(2):
                return None
            run = next((each for each in self._runs() if each.id not in self._known), None)
            self.now = f"edition {edition.number} ({edition.kind}) is trained"
            if run is None and time.monotonic() > begin + ASK_S:
                if asked is None or asked.poll() is not None:
                    asked = subprocess.Popen(
                        [ONWARD, "run", "--project", str(self._folder)],
                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                    )  # fmt: skip
            elif run is not None and run.state not in (None, "released"):
                return run.state
            elif run is not None and run.state == "released":
                release = self._newest()
                if release is not None and release.ended is not None:
                    return release.outcome
                if release is not None:
                    self.now = f"edition {edition.number} ({edition.kind}): {release.standing}"
        return "without an end"

    def _runs(self) -> Sequence[RunEntry]:
        """Return the runs that train, newest first; a full disk, for one, may keep them from us."""
        with suppress(Exception):
            return [run for run in self._project.runs(limit=20) if run.request.train]
        return ()

    def _revert(self) -> None:
        command = [ONWARD, "rollback", "--reason", "soaked", "--project", str(self._folder)]
        if subprocess.run(command, check=False, capture_output=True).returncode == 0:
            self.ends["reverted by hand"] += 1

    def _newest(self) -> Release | None:
        with suppress(Exception):
            return current(self._project.ledger, MODEL)
        return None
