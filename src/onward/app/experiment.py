"""Searching hyperparameters, here or by the `onward up` that holds the project."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, Final

from onward.app.access import require_run
from onward.app.handover import Handed, done_or_handed_over
from onward.core.errors import OnwardError
from onward.core.records import Candidate
from onward.flow.happened import fact
from onward.flow.model.experiment import experiment, told_of
from onward.flow.progress import at_once, told
from onward.flow.run.runs import RunEntry, request
from onward.stages.experiment.progress import Progress, look

if TYPE_CHECKING:
    from onward.app.project import Project
    from onward.core.records import RunRequest

TrialListener = Callable[[int, float | None], None]

_LOOK_S: Final = 0.2


def search(project: Project, *, trials: int, heard: TrialListener | None = None) -> Candidate:
    """Search the model's hyperparameters; later runs train with what was chosen.

    `heard` is called, on a thread beside, with how many trials are done and the best score yet.

    Raises
    ------
    OnwardError
        The search failed, or another process holds the project and does not hear requests.
    LeftToUp
        Ctrl-C while `onward up` searches: it goes on.
    """
    require_run(project)
    wish = replace(request(project.site, "a search was asked for", train=False), trials=trials)
    with _followed(told_of(project.site, wish.id), heard):
        done = done_or_handed_over(project, lambda: _here(project, wish, trials), lambda: wish)
    return _chosen(project, done.run) if isinstance(done, Handed) else done


def _here(project: Project, wish: RunRequest, trials: int) -> Candidate:
    with project.alone():
        steps = told(at_once, project.site.tell)
        return experiment(steps, project.site, project.definition, run=wish.id, trials=trials)


@contextmanager
def _followed(file: Path, heard: TrialListener | None) -> Iterator[None]:
    """Look at a search's file until the search has ended, and pass on what it says."""
    if heard is None:
        yield
        return
    ended = Event()

    def follow() -> None:
        before, over = Progress(), False
        while not over:
            over = ended.wait(_LOOK_S)
            now = look(file)
            if now != before:
                heard(now.done, now.best)
            before = now

    thread = Thread(target=follow, name="follow the search")
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _chosen(project: Project, run: RunEntry) -> Candidate:
    found = project.ledger.events(kind="candidate.chosen", run=run.id, limit=1)
    if not found:
        raise OnwardError(run.reason, next_step=f"`onward runs {run.id}` shows it")
    return fact(found[0], "candidate", Candidate)
