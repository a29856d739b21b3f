"""Progress of a run: what a person who waits wants to see, stage by stage."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from onward.core.ports import Steps
from onward.flow.headline import NOTHING, headline

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """A stage began or ended its work on `subject`; `seconds` is wall time, 0 at the start."""

    stage: str
    subject: str
    state: Literal["started", "finished", "failed"]
    detail: str = ""
    seconds: float = 0.0


Listener = Callable[[Progress], None]


def silent(progress: Progress) -> None:
    """Hear nothing."""


def at_once(name: str, function: Callable[..., T], /, *args: Any) -> T:  # noqa: ARG001 (the port's)
    """Do a step that need not survive this process."""
    return function(*args)


def told(steps: Steps, tell: Listener) -> Steps:
    """Wrap durable steps named ``stage subject`` so that `tell` hears each begin and end."""

    def step(name: str, function: Callable[..., T], /, *args: Any) -> T:
        stage, _, subject = name.partition(" ")
        tell(Progress(stage=stage, subject=subject, state="started"))
        began = time.perf_counter()
        try:
            result = steps(name, function, *args)
        except BaseException as error:
            why = "stopped" if isinstance(error, KeyboardInterrupt) else type(error).__name__
            tell(_end(stage, subject, "failed", why, began))
            raise
        detail = headline(result) if result is not None else NOTHING.get(stage, headline(None))
        tell(_end(stage, subject, "finished", detail, began))
        return result

    return step


def _end(
    stage: str, subject: str, state: Literal["finished", "failed"], detail: str, began: float
) -> Progress:
    return Progress(
        stage=stage,
        subject=subject,
        state=state,
        detail=detail,
        seconds=time.perf_counter() - began,
    )
