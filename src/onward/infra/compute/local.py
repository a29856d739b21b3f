"""Compute on this machine: one fresh Python process per call."""

from __future__ import annotations

import os
import pickle
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from onward.core.errors import OnwardError
from onward.infra.compute.call import Failure, Returned, write_call

T = TypeVar("T")

_THREAD_VARIABLES: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_TAIL_LINES: Final = 8
_SLICE_S: Final = 1.0


class LocalCompute:
    """Runs each function in a fresh child of this process.

    Parameters
    ----------
    threads
        How many threads OpenMP and BLAS may use in the child; theirs to choose unless given.
    seed
        What `random` and `numpy.random` start from.
    logs
        Where the child's output is kept, one file per name; forgotten unless given.
    """

    def __init__(
        self, *, threads: int | None = None, seed: int = 0, logs: Path | None = None
    ) -> None:
        self._threads = threads
        self._seed = seed
        self._logs = logs
        self._children: set[subprocess.Popen[bytes]] = set()

    def run(self, function: Callable[..., T], /, *args: Any, name: str, **kwargs: Any) -> T:
        """Run `function` in a child process and return what it returns.

        Raises
        ------
        OnwardError
            The one that the function raised; or one that carries the last lines of any other
            exception's traceback, or says which signal ended the child.
        """
        with tempfile.TemporaryDirectory(prefix="onward-call-") as scratch:
            folder = Path(scratch)
            write_call(folder / "call.pkl", function, args, kwargs, seed=self._seed)
            log = self._log_file(name, folder)
            code = self._child(folder, log)
            returned: T = _outcome(folder / "result.pkl", code, name, log)
            return returned

    def close(self) -> None:
        """End the children that run; their callers raise."""
        for child in tuple(self._children):
            child.kill()

    def _child(self, folder: Path, log: Path) -> int:
        """Start the child, wait for its end, and return its exit status."""
        command = [sys.executable, "-P", "-m", "onward.infra.compute.child", str(folder)]
        with log.open("wb") as output:
            child = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,  # never written to: its end tells the child to end as well
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self._environment(),
            )
        self._children.add(child)
        try:
            return _wait(child)
        finally:
            child.kill()
            child.communicate()
            self._children.discard(child)

    def _environment(self) -> dict[str, str]:
        """The child inherits this process's environment; nothing is read from it here."""
        fixed = {"PYTHONHASHSEED": "0", "PYTHONUNBUFFERED": "1"}
        if self._threads is not None:
            fixed |= dict.fromkeys(_THREAD_VARIABLES, str(self._threads))
        return {**os.environ, **fixed}

    def _log_file(self, name: str, scratch: Path) -> Path:
        folder = self._logs or scratch
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{re.sub(r'[^A-Za-z0-9_.-]+', '-', name)}.log"


def _wait(child: subprocess.Popen[bytes]) -> int:
    # A wait without an end does not hear a Ctrl-C that another thread was given.
    while True:
        try:
            return child.wait(_SLICE_S)
        except subprocess.TimeoutExpired:
            pass


def _outcome(result: Path, code: int, name: str, log: Path) -> Any:
    if not result.exists():
        raise _ended(code, name, _tail(log))
    match pickle.loads(result.read_bytes()):
        case Returned(value=value):
            return value
        case Failure(error=OnwardError() as error):
            raise error
        case Failure(text=text, traceback=traceback, location=location):
            raise OnwardError(
                _with_lines(f"{name} failed: {text}", traceback, _tail(log)), location=location
            )


def _ended(code: int, name: str, tail: list[str]) -> OnwardError:
    if code >= 0:
        return OnwardError(_with_lines(f"{name} ended its process (exit status {code})", tail))
    ended_by = signal.Signals(-code)
    return OnwardError(
        _with_lines(f"the process of {name} was ended by {ended_by.name}", tail),
        next_step="most often the memory ran out: `dmesg` tells; train on less history "
        "(`window=` of @ow.model) or on a larger machine"
        if ended_by is signal.SIGKILL
        else None,
    )


def _tail(log: Path) -> list[str]:
    lines = log.read_text(errors="replace").splitlines()
    return [line for line in lines if line.strip()][-_TAIL_LINES:]


def _with_lines(what: str, *groups: Sequence[str]) -> str:
    return "\n".join([what, *(f"    {line}" for lines in groups for line in lines)])
