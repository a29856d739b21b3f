"""Where in the user's file something was declared."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from onward.core.errors import Location


def here() -> Location | None:
    """Return the nearest calling frame outside Onward's own package."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 (inspect.stack costs milliseconds)
    while frame is not None:
        name = frame.f_globals.get("__name__", "")
        file = frame.f_code.co_filename
        if name.split(".")[0] not in ("onward", "dataclasses") and not file.startswith("<"):
            return Location(file, frame.f_lineno)
        frame = frame.f_back
    return None


def of_function(function: Callable[..., Any]) -> Location:
    """Return where `function` is defined."""
    code = function.__code__
    return Location(code.co_filename, code.co_firstlineno)


def first_paragraph(function: Callable[..., Any]) -> str:
    """Return the first paragraph of a function's docstring, on one line; empty without one."""
    return " ".join((inspect.getdoc(function) or "").partition("\n\n")[0].split())


def of_exception(error: BaseException) -> Location | None:
    """Return the innermost line of the user's own code that `error` came through.

    Frames of Onward, of installed packages and of the standard library are not the user's.
    """
    not_the_users = _installed()
    found = None
    trace = error.__traceback__
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if not file.startswith(("<", *not_the_users)):
            found = Location(file, trace.tb_lineno)
        trace = trace.tb_next
    return found


def _installed() -> tuple[str, ...]:
    import sysconfig

    paths = sysconfig.get_paths()
    onward = str(Path(__file__).parent.parent)
    return (onward, *(paths[kind] for kind in ("stdlib", "platstdlib", "purelib", "platlib")))
