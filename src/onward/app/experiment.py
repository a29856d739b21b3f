"""Searching hyperparameters, here or by the `onward up` that holds the project."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from onward.app.access import require_run
from onward.app.handover import done_or_handed_over
from onward.core.errors import OnwardError
from onward.core.records import Candidate
from onward.flow.happened import fact
from onward.flow.runs import RunEntry, request

if TYPE_CHECKING:
    from onward.app.project import Project


def search(
    project: Project, *, trials: int, heard: Callable[[int, float | None], None] | None = None
) -> Candidate:
    """Search the model's hyperparameters; later runs train with what was chosen.

    Raises
    ------
    OnwardError
        The search failed, or another process holds the project and does not hear requests.
    """
    require_run(project)
    wish = replace(request(project.site, "a search was asked for", train=False), trials=trials)
    done = done_or_handed_over(
        project, lambda: project.experiment(trials=trials, heard=heard), lambda: wish
    )
    return _chosen(project, done) if isinstance(done, RunEntry) else done


def _chosen(project: Project, run: RunEntry) -> Candidate:
    found = project.ledger.events(kind="candidate.chosen", run=run.id, limit=1)
    if not found:
        raise OnwardError(run.reason, next_step=f"`onward runs {run.id}` shows it")
    return fact(found[0], "candidate", Candidate)
