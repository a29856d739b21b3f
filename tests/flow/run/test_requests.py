"""A run serves every request that it did the same for; the others get runs of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from onward.app.ingest import ingest_once
from onward.app.project import Project, open_project
from onward.core.records import RunRequest
from onward.flow.happened import happened
from onward.flow.run.requests import ask, serving, take_up, waiting
from onward.flow.run.runs import changed, last_trained, request


@pytest.fixture
def project(shop: Path) -> Iterator[Project]:
    """A shop whose data is in."""
    with open_project(shop) as opened:
        ingest_once(opened)
        yield opened


def begun(project: Project, wish: RunRequest, digest: str = "") -> None:
    digest = digest or project.definition.digest
    happened(project.site, "run.started", "m", key=wish.id, run=wish.id, request=wish,
             digest=digest, commit=None)  # fmt: skip


def ended(project: Project, wish: RunRequest, state: str = "promoted") -> None:
    facts = {"state": state, "reason": "", "model": None, "seconds": 1.0, "trains": wish.train}
    happened(project.site, "run.finished", "m", key=wish.id, run=wish.id, **facts)


def trained(project: Project, state: str = "promoted", digest: str = "") -> str:
    wish = request(project.site, "the pipeline changed", "commit")
    begun(project, wish, digest)
    ended(project, wish, state)
    return wish.id


def asked(project: Project, **given: Any) -> RunRequest:
    wish = replace(request(project.site, "asked for"), **given)
    ask(project.site, "m", wish)
    return wish


@pytest.fixture
def delivered(project: Project) -> Callable[[], list[str]]:
    """Take up what waits; return what got runs of its own."""

    def take() -> list[str]:
        def deliver(wish: RunRequest) -> Any:
            begun(project, wish)
            ended(project, wish)
            return wish.id

        site, definition = project.site, project.definition
        return list(take_up(site, definition, waiting(project.ledger), deliver))

    return take


def test_the_first_of_two_equal_requests_gets_a_run_that_serves_both(
    project: Project, delivered: Callable[[], list[str]]
) -> None:
    wishes = [asked(project), asked(project)]
    assert list(waiting(project.ledger)) == wishes
    assert [serving(project.ledger, wish) for wish in wishes] == [None, None]
    assert delivered() == [wishes[0].id]
    assert not waiting(project.ledger)
    served = [serving(project.ledger, wish) for wish in wishes]
    assert [run.id for run in served if run] == [wishes[0].id] * 2
    assert delivered() == []


def test_a_run_for_the_change_serves_who_asked_after_it_too(
    project: Project, delivered: Callable[[], list[str]]
) -> None:
    mine = trained(project)
    wish = asked(project)
    assert delivered() == []
    served = serving(project.ledger, wish)
    assert served is not None
    assert served.id == mine
    assert served.ended_at is not None
    assert served.ended_at < wish.requested_at


@pytest.mark.parametrize(
    "given", [{"afresh": True}, {"train": False}, {"train": False, "trials": 2}]
)
def test_what_must_be_done_in_any_case_is_done(
    project: Project, delivered: Callable[[], list[str]], given: dict[str, Any]
) -> None:
    trained(project)
    wish = asked(project, **given)
    assert delivered() == [wish.id]


def test_another_pipeline_or_new_rows_are_worth_a_run(
    project: Project, delivered: Callable[[], list[str]], orders: Callable[..., Path]
) -> None:
    trained(project, digest="another")
    assert changed(project.ledger, project.definition)
    first = asked(project)
    assert delivered() == [first.id]
    assert not changed(project.ledger, project.definition)
    orders(project.settings.folder, "more", rows=10, seed=3)
    second = asked(project)
    assert delivered() == [second.id]


def test_a_run_that_failed_serves_who_asked_while_it_went_on_and_nobody_later(
    project: Project, delivered: Callable[[], list[str]]
) -> None:
    early = asked(project)
    failed = trained(project, "failed")
    late = asked(project)
    assert delivered() == [late.id]
    served = serving(project.ledger, early)
    assert served is not None
    assert (served.id, served.state) == (failed, "failed")


def test_only_runs_that_were_to_train_count_as_the_last(project: Project) -> None:
    assert last_trained(project.ledger) is None
    assert not changed(project.ledger, project.definition)
    mine = trained(project)
    wish = request(project.site, "data", "data", train=False)
    begun(project, wish)
    ended(project, wish, "refreshed")
    last = last_trained(project.ledger)
    assert last is not None
    assert last.id == mine
