"""One run of ingest and audit in a process of its own, killed where it is told to be.

``python ingest_and_audit.py FOLDER RUN LINE``: at the LINE-th line executed in the rooms (counted
from 1; 0 runs to the end) the process kills itself with SIGKILL. Prints the lines executed.
"""

import os
import signal
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

from ibis import _

import onward as ow
from onward.core.clock import ReplayClock
from onward.infra.lake.iceberg import open_lake
from onward.stages.ingest.adapters.files import FileReader
from onward.stages.ingest.port import Surroundings
from onward.stages.ingest.step import ingest
from onward.stages.validate.step import audit, settle

ROOMS = tuple(f"{os.sep}stages{os.sep}{room}{os.sep}" for room in ("ingest", "validate"))
SOURCE = ow.Source(
    "orders",
    ow.files("in/*.csv"),
    key="id",
    event_time="at",
    types={"x": "double"},
    checks=[ow.check("x is positive", _.x > 0)],
)


class Executioner:
    """Counts lines of the rooms; kills at one."""

    def __init__(self, line: int) -> None:
        self.count = 0
        self._line = line

    def __call__(self, frame: FrameType, event: str, argument: Any) -> Any:
        if not any(room in frame.f_code.co_filename for room in ROOMS):
            return None
        if event == "line":
            self.count += 1
            if self.count == self._line:
                os.kill(os.getpid(), signal.SIGKILL)
        return self


def run(folder: Path, name: str) -> None:
    """Ingest and audit once, as a run does."""
    lake = open_lake(folder / "lake")
    settle(SOURCE.table, lake=lake)
    batch = ingest(SOURCE, reader=FileReader(Surroundings(folder=folder)), lake=lake, run=name)
    if batch is not None:
        clock = ReplayClock(datetime(2024, 1, 1, tzinfo=UTC))
        audit(batch, SOURCE.checks, lake=lake, clock=clock, required=("id", "at"))


def killed(run: Callable[[Path, str], None]) -> None:
    """Carry out a run as the command's arguments say."""
    executioner = Executioner(int(sys.argv[3]))
    sys.settrace(executioner)
    run(Path(sys.argv[1]), sys.argv[2])
    sys.settrace(None)
    print(executioner.count)


if __name__ == "__main__":
    killed(run)
