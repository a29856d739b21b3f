"""Handing work over: `onward up` holds the project, and does what other processes ask it for."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, TypeVar

from onward.app.access import require_run
from onward.app.gateway.serving import address
from onward.core.errors import BusyError, OnwardError

if TYPE_CHECKING:
    from onward.app.project import Project
    from onward.core.records import RunRequest
    from onward.flow.run.runs import RunEntry

T = TypeVar("T")

PATIENCE_S: Final = 3600.0
_LOOK_S: Final = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Handed:
    """The run by which `onward up` served a request.

    `anew` is False where nothing was new: the run had ended before anybody asked.
    """

    run: RunEntry
    anew: bool


class LeftToUp(KeyboardInterrupt):
    """Somebody no longer waits for a run that `onward up` does; it goes on."""

    def __init__(self, wish: str) -> None:
        super().__init__(wish)
        self.wish = wish


def done_or_handed_over(
    project: Project, work: Callable[[], T], wish: Callable[[], RunRequest]
) -> T | Handed:
    """Do `work` here; where `onward up` holds the project, let it carry out `wish` instead.

    Raises
    ------
    BusyError
        Another process holds the project, and it is no `onward up` that serves.
    OnwardError, LeftToUp
        As `hand_over`.
    """
    try:
        return work()
    except BusyError:
        if not is_up(project):
            raise
    return hand_over(project, wish())


def asked_for(project: Project, *, force: bool = False) -> RunRequest:
    """Return the request for a run that somebody asked for, who may.

    Raises
    ------
    DeniedError
        The caller may not run the model, or not read what it is built on.
    """
    from onward.flow.run.runs import request

    require_run(project)
    return replace(request(project.site, "asked for"), afresh=force)


def is_up(project: Project) -> bool:
    """Whether `onward up` serves this project, and hears what is asked for."""
    return address(project.settings.state) is not None


def hand_over(project: Project, wish: RunRequest, *, wait_s: float = PATIENCE_S) -> Handed:
    """Ask the process that holds the project for a run, and wait until it has ended.

    Raises
    ------
    OnwardError
        It did not end in time, or that process ended before.
    LeftToUp
        Ctrl-C: nobody waits any more.
    """
    from onward.flow.run.requests import ask

    ask(project.site, project.definition.model, wish)
    try:
        return _waited(project, wish, wait_s)
    except KeyboardInterrupt:
        raise LeftToUp(wish.id) from None


def _waited(project: Project, wish: RunRequest, wait_s: float) -> Handed:
    from onward.flow.progress import Progress
    from onward.flow.run.cancel import cancelled
    from onward.flow.run.requests import serving

    deadline = time.monotonic() + wait_s
    project.site.tell(Progress(stage="onward up", subject=f"does run {wish.id}", state="started"))
    while time.monotonic() < deadline:
        held = is_up(project)  # before the run is looked for: it may end in between
        found = serving(project.ledger, wish)
        if found is not None and found.ended_at is not None:
            anew = found.id == wish.id or found.ended_at > wish.requested_at
            return Handed(run=found, anew=anew)
        by = cancelled(project.ledger, wish.id)
        if by is not None and found is None:
            raise OnwardError(f"run {wish.id} was cancelled by {by} before it began")
        if not held:
            raise OnwardError(
                f"`onward up` ended before it had done run {wish.id}",
                next_step="the next `onward up` does it",
            )
        time.sleep(_LOOK_S)
    raise OnwardError(
        f"run {wish.id} has not ended after {wait_s:g} s",
        next_step="`onward runs` shows how it stands",
    )
