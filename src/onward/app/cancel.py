"""Cancelling a run, wherever it is carried out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event, Thread
from typing import TYPE_CHECKING, Final

from onward.app.access import require_run
from onward.core.errors import BusyError, NotFoundError, unknown_name
from onward.flow.run.cancel import cancel as tell
from onward.flow.run.cancel import cancelled
from onward.flow.run.deliver import give_up
from onward.flow.run.requests import waiting
from onward.flow.run.runs import run as find
from onward.flow.run.runs import unfinished

if TYPE_CHECKING:
    from onward.app.project import Project

_LOOK_S: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancelled:
    """A run that was cancelled; `ended` if it is over, else its process is about to leave it."""

    run: str
    ended: bool


def cancel(project: Project, run: str | None = None) -> Cancelled:
    """Cancel a run that is under way, waits to be taken up, or was cut short.

    Without a name it is the newest of these.

    Raises
    ------
    NotFoundError
        There is no such run, or it has ended.
    DeniedError
        The caller may not run the model.
    """
    by = require_run(project).name
    begun, asked = unfinished(project.ledger), waiting(project.ledger)
    known = [wish.id for wish in asked] + [entry.id for entry in begun]
    chosen = max(known, default=None) if run is None else run
    if chosen is None or chosen not in known:
        raise _not_found(project, chosen, known)
    tell(project.site, project.definition.model, chosen, by=by)
    cut_short = next((entry for entry in begun if entry.id == chosen), None)
    if cut_short is None:
        return Cancelled(run=chosen, ended=True)
    try:
        with project.alone():  # nobody carries it out: it was cut short
            give_up(project.site, project.definition, cut_short.request, by)
    except BusyError:
        return Cancelled(run=chosen, ended=False)
    return Cancelled(run=chosen, ended=True)


@contextmanager
def ending_when_cancelled(project: Project, run: str) -> Iterator[None]:
    """End the processes that a run computes in, once somebody has cancelled it."""
    over = Event()

    def watch() -> None:
        while not over.wait(_LOOK_S):
            if cancelled(project.ledger, run) is not None:
                project.site.compute.close()

    thread = Thread(target=watch, name="watch for a cancellation", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _not_found(project: Project, run: str | None, known: list[str]) -> NotFoundError:
    next_step = "`onward runs` shows how each stands"
    if run is None:
        return NotFoundError("no run is under way, and none waits", next_step=next_step)
    ended = find(project.ledger, run)
    if ended is not None:
        return NotFoundError(f"run {run} has ended: {ended.state}", next_step=next_step)
    what, expected = unknown_name("run under way", run, known)
    return NotFoundError(what, expected=expected, next_step=next_step)
