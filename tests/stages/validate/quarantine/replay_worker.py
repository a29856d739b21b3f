"""Replays a lake and kills itself (SIGKILL) at a named place; started by test_replay_crash.py.

python replay_worker.py FOLDER RUN [before|after METHOD]
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

from audited import replayed
from ibis import _

import onward as ow
from onward.infra.lake.iceberg import IcebergLake, open_lake


def deadly(method: Any, when: str, turn: list[int]) -> Any:
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        turn[0] -= 1
        if turn[0]:
            return method(*args, **kwargs)
        if when == "after":
            method(*args, **kwargs)
        return os.kill(os.getpid(), signal.SIGKILL)

    return wrapped


def main() -> None:
    folder, run, *place = sys.argv[1:]
    if place:
        when, name, turn = place
        setattr(IcebergLake, name, deadly(getattr(IcebergLake, name), when, [int(turn)]))
    replayed(open_lake(Path(folder)), run, ow.check("x is small", _.x < 100))


if __name__ == "__main__":
    main()
