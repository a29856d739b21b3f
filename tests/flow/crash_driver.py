"""Runs a project and kills itself (SIGKILL) at a named place; started by test_crash.py.

    python crash_driver.py FOLDER before|after PLACE

PLACE is ``step NAME`` for a durable step, killed once its effect is done and before its result is
recorded, or ``module:Class.method`` / ``module:function``. Without a place it runs to the end.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def deadly(function: Callable[..., Any], when: str) -> Callable[..., Any]:
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        if when == "before":
            die()
        function(*args, **kwargs)
        die()

    return wrapped


def arm_step(name: str, when: str) -> None:
    from onward.flow.run import deliver

    told = deliver.told

    def armed(steps: Any, tell: Any) -> Any:
        def step(called: str, function: Callable[..., Any], /, *args: Any) -> Any:
            return steps(called, deadly(function, when) if called == name else function, *args)

        return told(step, tell)

    deliver.told = armed


def arm(place: str, when: str) -> None:
    if place.startswith("step "):
        arm_step(place.removeprefix("step "), when)
        return
    module, _, path = place.partition(":")
    owner: Any = importlib.import_module(module)
    *outer, last = path.split(".")
    for name in outer:
        owner = getattr(owner, name)
    setattr(owner, last, deadly(getattr(owner, last), when))


def main() -> None:
    from onward.app.project import open_project

    folder, rest = Path(sys.argv[1]), sys.argv[2:]
    if rest:
        arm(rest[1], rest[0])
    with open_project(folder) as project:
        outcome = project.run()
        print(outcome.state if outcome else "nothing new")


if __name__ == "__main__":
    main()
