"""What is handed to `onward up`: waited for, and given up with a reason."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from onward.app import handover
from onward.app.handover import Handed, LeftToUp, asked_for, done_or_handed_over, hand_over
from onward.app.project import Project, open_project
from onward.core.errors import BusyError, OnwardError
from onward.flow.happened import happened
from onward.flow.run.requests import waiting


@pytest.fixture
def project(shop: Path) -> Iterator[Project]:
    with open_project(shop) as opened:
        yield opened


def busy() -> str:
    raise BusyError("another holds it")


def up(monkeypatch: pytest.MonkeyPatch, then: Callable[[], bool]) -> None:
    monkeypatch.setattr(handover, "is_up", lambda _: then())


def test_what_can_be_done_here_is_done_here(project: Project) -> None:
    assert done_or_handed_over(project, lambda: "done", lambda: asked_for(project)) == "done"
    assert not project.ledger.events(kind="run.requested")


def test_nobody_is_asked_who_does_not_hear(project: Project) -> None:
    with pytest.raises(BusyError, match="another holds it"):
        done_or_handed_over(project, busy, lambda: asked_for(project))
    assert not project.ledger.events(kind="run.requested")


def test_the_run_that_was_asked_for_is_returned_when_it_has_ended(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = 0

    def work() -> bool:
        """Be `onward up`: take the request up at the first look, and end it at the third."""
        nonlocal looked
        looked += 1
        for wish in waiting(project.ledger):
            facts = {"request": wish, "digest": "d", "commit": None}
            happened(project.site, "run.started", "m", key=wish.id, run=wish.id, **facts)
        if looked == 3:
            [told] = project.ledger.events(kind="run.started")
            ended = {"state": "promoted", "reason": "better", "model": None, "seconds": 1.0}
            happened(
                project.site, "run.finished", "m", key=told.event.key, run=told.event.key, **ended
            )
        return True

    up(monkeypatch, work)
    done = done_or_handed_over(project, busy, lambda: asked_for(project))
    assert isinstance(done, Handed)
    assert (done.run.state, done.run.reason, done.anew) == ("promoted", "better", True)


def test_ctrl_c_leaves_the_run_to_who_does_it(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted() -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(handover, "is_up", lambda _: interrupted())
    wish = asked_for(project)
    with pytest.raises(LeftToUp) as left:
        hand_over(project, wish)
    assert left.value.wish == wish.id
    assert list(waiting(project.ledger)) == [wish]


def test_force_is_asked_for_too(project: Project) -> None:
    assert [asked_for(project, force=force).afresh for force in (False, True)] == [False, True]


def test_one_that_ended_before_or_takes_too_long_is_not_waited_for(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    up(monkeypatch, lambda: False)
    with pytest.raises(OnwardError, match="ended before it had done run"):
        hand_over(project, asked_for(project))
    up(monkeypatch, lambda: True)
    with pytest.raises(OnwardError, match="has not ended after 0 s"):
        hand_over(project, asked_for(project), wait_s=0.0)
