"""A run that nobody wants any more: waiting, cut short, or about to begin."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from onward.app import handover
from onward.app.cancel import cancel
from onward.app.handover import asked_for, hand_over
from onward.app.project import Project, open_project
from onward.core.errors import DataError, NotFoundError, OnwardError
from onward.flow.happened import happened
from onward.flow.progress import at_once
from onward.flow.run.cancel import CancelledError, unless_cancelled
from onward.flow.run.cancel import cancel as tell
from onward.flow.run.requests import ask, waiting
from onward.flow.run.runs import called_for, request, unfinished


@pytest.fixture
def project(shop: Path) -> Iterator[Project]:
    with open_project(shop) as opened:
        yield opened


def test_one_that_waits_is_taken_up_by_nobody_and_awaited_by_nobody(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    wish = asked_for(project)
    monkeypatch.setattr(handover, "is_up", lambda _: bool(cancel(project)))
    with pytest.raises(OnwardError, match=f"run {wish.id} was cancelled by .* before it began"):
        hand_over(project, wish)
    assert not waiting(project.ledger)


def test_one_that_was_cut_short_is_not_resumed(project: Project) -> None:
    wish = request(project.site, "asked for")
    happened(project.site, "run.started", "m", key=wish.id, run=wish.id, request=wish,
             digest=project.definition.digest, commit=None)  # fmt: skip
    ask(project.site, "m", request(project.site, "another"))
    assert [run.id for run in unfinished(project.ledger)] == [wish.id]
    done = cancel(project, wish.id)
    assert (done.run, done.ended) == (wish.id, True)
    assert not unfinished(project.ledger)
    assert project.resume() is None
    assert project.runs()[0].state == "cancelled"
    assert called_for(project.site, project.definition) == "the last run was cancelled"
    with pytest.raises(NotFoundError, match="has ended: cancelled"):
        cancel(project, wish.id)
    with pytest.raises(NotFoundError, match="no run under way 'nine'"):
        cancel(project, "nine")


def test_where_nothing_runs_there_is_nothing_to_cancel(project: Project) -> None:
    with pytest.raises(NotFoundError, match="no run is under way, and none waits"):
        cancel(project)


def test_a_run_ends_before_its_next_step_as_cancelled(project: Project) -> None:
    wish = request(project.site, "asked for")
    tell(project.site, "m", wish.id, by="ada")
    outcome = project.deliver(wish)
    assert (outcome.state, outcome.reason) == ("cancelled", "cancelled by ada")
    assert not project.ledger.events(kind="batch.audited")
    assert [run.state for run in project.runs()] == ["cancelled"]


def test_what_a_step_dies_of_is_no_failure_once_it_is_cancelled(project: Project) -> None:
    steps = unless_cancelled(at_once, project.ledger, "r1")

    def dies(cancelling: bool) -> None:
        if cancelling:
            tell(project.site, "m", "r1", by="ada")
        raise DataError("its process was ended")

    with pytest.raises(DataError):
        steps("train model", dies, False)
    with pytest.raises(CancelledError, match="cancelled by ada"):
        steps("train model", dies, True)
    with pytest.raises(CancelledError):
        steps("evaluate model", dies, False)
