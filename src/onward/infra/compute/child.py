"""The child's side of a call: ``python -m onward.infra.compute.child FOLDER``.

It reads ``call.pkl``, runs the function and leaves ``result.pkl``, complete or not at all.
"""

from __future__ import annotations

import importlib
import os
import pickle
import random
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from onward.core.declared import of_exception
from onward.core.errors import OnwardError
from onward.core.files import write_whole
from onward.infra.compute.call import PROTOCOL, Failure, Returned

_TRACEBACK_LINES: Final = 8


def main(folder: Path) -> None:
    """Carry out the call in `folder`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is for the parent to hear
    _end_with_parent()
    outcome: Returned | Failure
    try:
        outcome = Returned(_call(folder / "call.pkl"))
        written = _dumps(outcome)
    except BaseException as error:
        written = _dumps(_failure(error))
    write_whole(folder / "result.pkl", written)


def _call(file: Path) -> Any:
    with file.open("rb") as stream:
        setting = pickle.load(stream)
        sys.path[:] = setting.path
        random.seed(setting.seed)
        importlib.import_module("numpy").random.seed(setting.seed)
        function: Callable[..., Any]
        function, args, kwargs = pickle.load(stream)
    return function(*args, **kwargs)


def _dumps(outcome: Returned | Failure) -> bytes:
    import cloudpickle

    written: bytes = cloudpickle.dumps(outcome, PROTOCOL)
    return written


def _failure(error: BaseException) -> Failure:
    if isinstance(error, OnwardError):
        return Failure(error=error)
    lines = "".join(traceback.format_exception(error)).splitlines()
    text = f"{type(error).__name__}: {error}"
    return Failure(
        text=text, traceback=tuple(lines[-_TRACEBACK_LINES:]), location=of_exception(error)
    )


def _end_with_parent() -> None:
    """End this process when the parent does, whatever ended it.

    Standard input is a pipe that only the parent can write to and never does: reading it returns
    when the parent is gone. (Linux's PR_SET_PDEATHSIG follows the parent's *thread* instead.)
    """
    lifeline = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)

    def watch() -> None:
        os.read(lifeline, 1)
        os._exit(1)

    threading.Thread(target=watch, name="lifeline", daemon=True).start()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
