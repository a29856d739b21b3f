"""Handing work over: `onward up` holds the project, and does what other processes ask it for."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeVar

from onward.app.access import require_run
from onward.app.gateway import address
from onward.core.errors import BusyError, OnwardError
from onward.flow.happened import happened

if TYPE_CHECKING:
    from onward.app.project import Project
    from onward.core.records import RunRequest
    from onward.flow.runs import RunEntry

T = TypeVar("T")

PATIENCE_S: Final = 3600.0
_LOOK_S: Final = 0.2


def done_or_handed_over(
    project: Project, work: Callable[[], T], wish: Callable[[], RunRequest]
) -> T | RunEntry:
    """Do `work` here; where `onward up` holds the project, let it carry out `wish` instead.

    Raises
    ------
    BusyError
        Another process holds the project, and it is no `onward up` that serves.
    OnwardError
        As `hand_over`.
    """
    try:
        return work()
    except BusyError:
        if not is_up(project):
            raise
    return hand_over(project, wish())


def asked_for(project: Project) -> RunRequest:
    """Return the request for a run that somebody asked for, who may.

    Raises
    ------
    DeniedError
        The caller may not run the model, or not read what it is built on.
    """
    from onward.flow.runs import request

    require_run(project)
    return request(project.site, "asked for")


def is_up(project: Project) -> bool:
    """Whether `onward up` serves this project, and hears what is asked for."""
    return address(project.settings.state) is not None


def hand_over(project: Project, wish: RunRequest, *, wait_s: float = PATIENCE_S) -> RunEntry:
    """Ask the process that holds the project for a run, and wait until it has ended.

    Raises
    ------
    OnwardError
        It did not end in time, or that process ended before.
    """
    from onward.flow.runs import runs

    happened(project.site, "run.requested", project.definition.model, key=wish.id, request=wish)
    deadline = time.monotonic() + wait_s
    while time.monotonic() < deadline:
        held = is_up(project)  # before the run is looked for: it may end in between
        found = next((r for r in runs(project.ledger) if r.id == wish.id), None)
        if found is not None and found.state is not None:
            return found
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
