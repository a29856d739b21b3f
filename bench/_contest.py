"""A contest: the same work by several contestants, each in a process and environment of its own.

Rounds are interleaved, so that all see the same machine; a contestant that has used up the
`patience` of its benchmark sits out the rounds that are left. One that is not installed, or fails,
is said to, and the others go on.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final, Self

from rich.console import Console

from bench.report import NOT_INSTALLED

ROOT: Final = Path(__file__).parents[1]
PEERS: Final = ROOT / "bench" / "peers"
ENVIRONMENTS: Final = ROOT / ".venv-peers"

PATIENCE_S: Final = 120.0
_LIMIT_S: Final = 3_600.0


class AbsentError(Exception):
    """A contestant that is not installed, or failed: in words for the report."""


@dataclass(frozen=True, slots=True)
class Entrant:
    """Who takes part: a name for the report, and ``package.module:function`` of its runs."""

    name: str
    runs: str

    def command(self) -> list[str]:
        """Return the command that starts it.

        Raises
        ------
        AbsentError
            Its environment is not installed.
        """
        return [str(interpreter(self.runs)), "-m", "bench._entrant", self.runs]


def interpreter(module: str) -> Path:
    """Return the Python that runs ``bench.peers.<peer>…``: the peer's own if it has pins.

    Raises
    ------
    AbsentError
        The peer's environment is not installed.
    """
    peer = module.removeprefix("bench.peers.").partition(".")[0]
    if not (PEERS / peer / "pins.txt").exists():
        return Path(sys.executable)
    python = ENVIRONMENTS / peer / "bin" / "python"
    if not (ENVIRONMENTS / peer / ".installed").exists():
        raise AbsentError(NOT_INSTALLED)
    return python


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a contestant did: a record per run, or why there is none."""

    name: str
    runs: list[Mapping[str, Any]] = field(default_factory=list)
    error: str = ""

    def __getitem__(self, fact: str) -> Any:
        """Return what the first run told besides its figures; it is the run that is checked."""
        return self.runs[0][fact]

    @property
    def seconds(self) -> float:
        return median(run["seconds"] for run in self.runs)

    @property
    def cpu_s(self) -> float:
        return median(run["cpu_s"] for run in self.runs)

    @property
    def peak_mb(self) -> float:
        return float(max(run["peak_mb"] for run in self.runs))


def contest(
    entrants: Sequence[Entrant],
    given: Mapping[str, Any],
    *,
    folder: Path,
    rounds: int,
    warm: Mapping[str, Any] | None = None,
    fresh: bool = False,
    patience_s: float = PATIENCE_S,
    tell: Callable[[str], None] | None = None,
) -> dict[str, Outcome]:
    """Let `entrants` do the same work `rounds` times, in turns; return their outcomes by name.

    Each process is given `given` and an empty ``folder`` of its own under `folder`. With `warm`,
    the same of a small size, it runs once before, unmeasured, so that what is imported on first use
    is there. `fresh` starts one for each run: what a large run holds is free while others run.
    """
    outcomes = {entrant.name: Outcome(entrant.name) for entrant in entrants}
    running: dict[str, Process] = {}
    left = list(entrants)
    with ExitStack() as stack:
        say = tell or stack.enter_context(Console(stderr=True).status("")).update
        for number in range(rounds):
            for entrant in left[:: (1, -1)[number % 2]]:
                name, runs = entrant.name, outcomes[entrant.name].runs
                say(f"{name}, round {number + 1} of {rounds}")
                try:
                    if name not in running:
                        process = Process(entrant, *_given(given, warm, folder))
                        running[name] = stack.enter_context(process)
                    runs.append(running[name].run())
                except AbsentError as absent:
                    outcomes[name] = Outcome(name, error=str(absent))
                    left.remove(entrant)
                    continue
                tired = sum(run["seconds"] for run in runs) > patience_s
                if fresh or tired:
                    running.pop(name).close()
                if tired:
                    left.remove(entrant)
    return outcomes


def _given(
    given: Mapping[str, Any], warm: Mapping[str, Any] | None, folder: Path
) -> tuple[Mapping[str, Any], Mapping[str, Any] | None]:
    """Return what a process is given, and what to warm up with, each with a folder."""
    own, small = tempfile.mkdtemp(dir=folder), tempfile.mkdtemp(dir=folder)
    return {**given, "folder": own}, None if warm is None else {**warm, "folder": small}


class Process:
    """A contestant under way; `run` asks for one run more."""

    def __init__(
        self, entrant: Entrant, given: Mapping[str, Any], warm: Mapping[str, Any] | None
    ) -> None:
        command = entrant.command()
        ours = command[0] == sys.executable
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed with the process)
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={name: v for name, v in os.environ.items() if ours or name != "PYTHONPATH"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        self._given = json.dumps([given, warm])

    def run(self) -> dict[str, Any]:
        """Return the run's figures and what it found.

        Raises
        ------
        AbsentError
            It ended, or did not answer within an hour.
        """
        with suppress(BrokenPipeError):
            self._process.stdin.write(self._given + "\n")
            self._process.stdin.flush()
        self._given = ""
        if not select.select([self._process.stdout], [], [], _LIMIT_S)[0]:
            self._process.kill()
            raise AbsentError(f"no answer in {_LIMIT_S:,.0f} s")
        line = self._process.stdout.readline()
        if not line:
            status = self._process.wait()
            self._errors.seek(0)
            told = [line.strip() for line in self._errors if line.strip()]
            raise AbsentError(f"failed: {told[-1] if told else f'status {status}'}")
        return json.loads(line)

    def close(self) -> None:
        """End it; what it holds is free for the others."""
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()
        self._errors.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self._process.kill()
        self.close()
