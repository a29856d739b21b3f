"""What every engine for durable workflows holds to."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from onward.core.errors import BusyError, DataError
from onward.core.ports import Steps
from onward.core.records import DatasetRef, RunRequest
from onward.infra.workflows.dbos import DbosWorkflows

WISH = RunRequest(
    id="r1", reason="asked for", trigger="request", requested_at=datetime(2013, 1, 1, tzinfo=UTC)
)


class Journal:
    """Counts what steps did, and fails where it is told to."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.failing: dict[str, BaseException] = {}

    def step(self, name: str, value: Any) -> Any:
        self.done.append(name)
        if name in self.failing:
            raise self.failing[name]
        return value


@pytest.fixture
def journal() -> Journal:
    return Journal()


@pytest.fixture(params=["dbos"])
def open_workflows(request, tmp_path: Path):
    opened = []

    def make(body: Callable[..., Any], file: str = "workflows.db") -> DbosWorkflows[Any]:
        opened.append(DbosWorkflows(tmp_path / file, name="deliver", body=body))
        return opened[-1]

    yield make
    for workflows in opened:
        workflows.close()


@pytest.fixture
def workflows(open_workflows, journal: Journal):
    def body(steps: Steps, wish: RunRequest) -> tuple[RunRequest, list[Any]]:
        values = [steps(name, journal.step, name, at) for at, name in enumerate("abcde")]
        return wish, values

    return open_workflows(body)


def test_steps_run_in_order_and_the_result_is_the_bodys(workflows, journal: Journal):
    assert workflows.run("r1", WISH) == (WISH, [0, 1, 2, 3, 4])
    assert journal.done == list("abcde")
    assert workflows.pending() == ()


def test_a_finished_id_returns_its_result_and_runs_nothing(workflows, journal: Journal):
    first = workflows.run("r1", WISH)
    assert workflows.run("r1", WISH) == first
    workflows.close()
    assert workflows.run("r1", WISH) == first
    assert journal.done == list("abcde")
    workflows.run("r2", WISH)
    assert journal.done == list("abcdeabcde")


def test_records_come_back_as_they_were(open_workflows):
    given = DatasetRef(table="raw.flights", snapshot=2**62, rows=7)

    def body(steps: Steps) -> Any:
        return steps("make", lambda: (given, WISH)), steps("nothing", lambda: None)

    workflows = open_workflows(body)
    assert workflows.run("r1") == workflows.run("r1") == ((given, WISH), None)


def test_an_error_comes_out_as_itself(workflows, journal: Journal):
    journal.failing["c"] = DataError("held back", expected="rows", next_step="look")
    with pytest.raises(DataError) as told:
        workflows.run("r1", WISH)
    assert (told.value.expected, told.value.next_step) == ("rows", "look")
    assert workflows.pending() == ()


def test_a_failed_id_goes_on_with_the_step_that_raised(workflows, journal: Journal):
    journal.failing["c"] = OSError(28, "No space left on device")
    with pytest.raises(OSError, match="No space"):
        workflows.run("r1", WISH)
    workflows.close()
    with pytest.raises(OSError, match="No space"):
        workflows.run("r1", WISH)
    del journal.failing["c"]
    assert workflows.run("r1", WISH) == (WISH, [0, 1, 2, 3, 4])
    assert journal.done == list("abc" + "c" + "cde")


def test_an_error_between_steps_repeats_no_step(open_workflows, journal: Journal):
    broken = [True]

    def body(steps: Steps) -> str:
        value: str = steps("a", journal.step, "a", "value")
        if broken:
            raise DataError("between")
        return value

    workflows = open_workflows(body)
    with pytest.raises(DataError):
        workflows.run("r1")
    broken.clear()
    assert workflows.run("r1") == "value"
    assert journal.done == ["a"]


def test_an_error_before_any_step_begins_anew(open_workflows, journal: Journal):
    broken = [True]

    def body(steps: Steps) -> str:
        if broken:
            raise DataError("before")
        value: str = steps("a", journal.step, "a", "value")
        return value

    workflows = open_workflows(body)
    with pytest.raises(DataError):
        workflows.run("r1")
    broken.clear()
    assert workflows.run("r1") == "value"


def test_an_error_that_the_body_caught_is_caught_again(open_workflows, journal: Journal):
    journal.failing["a"] = DataError("no champion")
    journal.failing["b"] = DataError("no disk")

    def body(steps: Steps) -> str:
        try:
            steps("a", journal.step, "a", 1)
        except DataError as error:
            value: str = steps("b", journal.step, "b", error.what)
        return value

    workflows = open_workflows(body)
    with pytest.raises(DataError, match="no disk"):
        workflows.run("r1")
    del journal.failing["b"]
    assert workflows.run("r1") == "no champion"
    assert journal.done == ["a", "b", "b"]


class CannotTravelError(Exception):
    def __init__(self, one: str, two: str) -> None:
        super().__init__(f"{one} {two}")


def test_an_error_that_cannot_be_kept_is_told_in_words(workflows, journal: Journal):
    journal.failing["b"] = CannotTravelError("lost", "connection")
    with pytest.raises(Exception, match="step 'b' failed with CannotTravelError: lost connection"):
        workflows.run("r1", WISH)
    del journal.failing["b"]
    assert workflows.run("r1", WISH)[1] == [0, 1, 2, 3, 4]


def test_an_interrupted_run_is_pending_and_resumes(workflows, journal: Journal):
    journal.failing["d"] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        workflows.run("r1", WISH)
    assert workflows.pending() == ("r1",)
    workflows.close()
    assert workflows.pending() == ("r1",)
    with pytest.raises(KeyboardInterrupt):
        workflows.run("r1", WISH)
    del journal.failing["d"]
    assert workflows.run("r1", WISH) == (WISH, [0, 1, 2, 3, 4])
    assert journal.done == list("abcd" + "d" + "de")
    assert workflows.pending() == ()


def test_only_what_is_asked_for_runs(workflows, journal: Journal):
    for run in ("r1", "r2"):
        journal.failing["b"] = KeyboardInterrupt()
        with pytest.raises(KeyboardInterrupt):
            workflows.run(run, WISH)
    journal.failing.clear()
    journal.done.clear()
    workflows.close()
    assert workflows.pending() == ("r1", "r2")
    workflows.run("r3", WISH)
    workflows.run("r2", WISH)
    assert journal.done == list("abcde" + "bcde")
    assert workflows.pending() == ("r1",)


def test_a_thread_may_run_one(workflows):
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(workflows.run("r1", WISH)))
    thread.start()
    thread.join()
    assert results == [(WISH, [0, 1, 2, 3, 4])]


def test_there_is_one_at_a_time(open_workflows, journal: Journal):
    began, go_on = threading.Event(), threading.Event()

    def wait() -> None:
        began.set()
        go_on.wait(30)

    first = open_workflows(lambda steps: steps("wait", wait))
    same = open_workflows(lambda steps: steps("a", journal.step, "a", 1))
    other = open_workflows(lambda steps: steps("a", journal.step, "a", 1), "other.db")
    running = threading.Thread(target=first.run, args=("r1",))
    running.start()
    assert began.wait(30)
    for workflows, who in ((first, "this"), (same, "another"), (other, "this")):
        with pytest.raises(BusyError, match=f"{who} process is running a 'deliver' workflow"):
            workflows.run("r2")
    go_on.set()
    running.join()
    assert (same.run("r3"), other.run("r3"), first.run("r1")) == (1, 1, None)
    assert journal.done == ["a", "a"]


def test_nothing_is_pending_before_the_first_run(open_workflows, tmp_path: Path):
    assert open_workflows(lambda steps: None).pending() == ()
    assert not (tmp_path / "workflows.db").exists()
