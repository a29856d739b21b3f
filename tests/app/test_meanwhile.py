"""Chores beside a long block: looked at as long as it lasts, and by one at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from threading import Event

import pytest

from onward.app.chore import Chore
from onward.app.meanwhile import meanwhile
from onward.core.errors import DataError

PATIENCE_S = 60.0


def test_chores_are_looked_at_until_the_block_has_ended():
    enough, names = Event(), []

    def do() -> None:
        names.append(threading.current_thread().name)
        if len(names) >= 3:
            enough.set()

    with meanwhile([Chore(do, print)], print, every_s=0.001):
        assert enough.wait(PATIENCE_S)
    assert {name.partition("_")[0] for name in names} == {"meanwhile"}
    assert not [t for t in threading.enumerate() if t.name.startswith("meanwhile")]


def test_a_short_block_has_no_look_and_does_not_wait_for_one():
    looked: list[int] = []
    with meanwhile([Chore(lambda: looked.append(1), print)], print, every_s=3_600.0):
        pass
    assert looked == []


def test_what_is_foreseen_is_told_and_the_next_chore_done():
    said: list[str] = []
    done = Event()

    def hindered() -> None:
        raise DataError("the lake is away")

    chores = [Chore(hindered, said.append), Chore(done.set, said.append)]
    with meanwhile(chores, said.append, every_s=0.001):
        assert done.wait(PATIENCE_S)
    assert said == ["error: the lake is away"]


def surprised(said: list[str], rest: Callable[[], None]) -> None:
    """Do the rest of a block once a chore beside it met what nobody foresaw."""
    begun = Event()

    def tell(what: str) -> None:
        said.append(what)
        begun.set()

    def fail() -> None:
        raise ZeroDivisionError("of rows")

    with meanwhile([Chore(fail, tell)], tell, every_s=0.001):
        assert begun.wait(PATIENCE_S)
        rest()


def test_what_nobody_foresaw_is_told_at_once_and_raised_when_the_block_has_ended():
    said: list[str] = []
    told: list[list[str]] = []
    with pytest.raises(ZeroDivisionError):
        surprised(said, lambda: told.append([*said]))
    [[error]] = told
    assert error.startswith("error: ZeroDivisionError('of rows'); ")


@pytest.mark.parametrize("error", [KeyboardInterrupt(), DataError("the source is away")])
def test_an_error_of_the_block_goes_before(error):
    def fail() -> None:
        raise error

    with pytest.raises(type(error)):
        surprised([], fail)
