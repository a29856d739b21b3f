"""A call and its outcome, as files between a process and its child."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from onward.core.errors import Location, OnwardError

PROTOCOL: Final = 5


@dataclass(frozen=True, slots=True)
class Setting:
    """What the child sets up before it reads the call: module search path and random seed."""

    path: tuple[str, ...]
    seed: int


@dataclass(frozen=True, slots=True)
class Returned:
    """The function returned."""

    value: Any


@dataclass(frozen=True, slots=True)
class Failure:
    """The function raised: an `OnwardError` whole, anything else as text."""

    error: OnwardError | None = None
    text: str = ""
    traceback: tuple[str, ...] = ()
    location: Location | None = None


def write_call(
    file: Path,
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    *,
    seed: int,
) -> None:
    """Write the setting, then the call: the child must know the path before it can read it."""
    import cloudpickle

    setting = pickle.dumps(Setting(tuple(sys.path), seed), PROTOCOL)
    call = cloudpickle.dumps((function, args, dict(kwargs)), PROTOCOL)
    file.write_bytes(setting + call)
