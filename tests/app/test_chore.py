"""Chores: an error is told once, tried again soon, then patiently, and its end is told."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from onward.app.chore import Chore
from onward.core.errors import DataError


class Day:
    """A chore on a clock of its own: what it does is scripted, what it says is kept."""

    def __init__(self, *script: Exception | None, every_s: float = 0.0) -> None:
        self.now = 100.0
        self.said: list[str] = []
        self.done_at: list[float] = []
        self._script: Iterator[Exception | None] = iter(script)
        self.chore = Chore(self._do, self.said.append, every_s=every_s)

    def _do(self) -> None:
        self.done_at.append(self.now - 100.0)
        found = next(self._script, None)
        if found is not None:
            raise found

    def until(self, end: float) -> None:
        while self.now < 100.0 + end:
            self.chore.look()
            self.now += 0.5


@pytest.fixture
def day(monkeypatch: pytest.MonkeyPatch) -> type[Day]:
    def made(*script: Exception | None, every_s: float = 0.0) -> Day:
        found = Day(*script, every_s=every_s)
        clock = SimpleNamespace(monotonic=lambda: found.now)
        monkeypatch.setattr("onward.app.chore.time", clock)
        return found

    return made  # type: ignore[return-value]


def no_room(free: int) -> OSError:
    return OSError(errno.ENOSPC, f"No space left on device ({free} left)")


def test_it_is_tried_again_soon_at_first_then_patiently(day: type[Day]) -> None:
    lasting = day(*(DataError("the source is away") for _ in range(99)))
    lasting.until(200.0)
    assert lasting.done_at == [0, 1, 3, 7, 15, 31, 63, 123, 183]
    assert lasting.said == ["error: the source is away"], "once, while it is the same"
    assert not lasting.chore.look()
    assert 0 < lasting.chore.wait_s <= 60


def test_its_end_is_told_and_the_next_error_is_tried_again_soon(day: type[Day]) -> None:
    short = day(no_room(1), no_room(2), None, DataError("another"))
    short.until(5.0)
    assert short.done_at == [0, 1, 3, 3.5, 4.5], "a full disk of two seconds costs three"
    first, over, other, end = short.said
    assert first.startswith("error: the disk is full")
    assert over == "no longer in the way: the disk is full"
    assert (other, end) == ("error: another", "no longer in the way: another")
    assert short.chore.look()


def test_another_error_is_told_too(day: type[Day]) -> None:
    changing = day(DataError("one"), DataError("two"), DataError("two"), OSError("two"))
    changing.until(8.0)
    assert [said for said in changing.said if said.startswith("error")] == [
        "error: one",
        "error: two",
        "error: two",  # of another kind
    ]


def test_what_changed_may_help_at_once(day: type[Day]) -> None:
    hindered = day(*(DataError("no") for _ in range(7)))
    hindered.until(63.5)
    hindered.chore.soon()
    hindered.until(64.0)
    assert hindered.done_at[-2:] == [63, 63.5]
    assert hindered.chore.look()


def test_what_has_its_time_is_done_no_more_often(day: type[Day]) -> None:
    hourly = day(None, DataError("no"), every_s=10.0)
    hourly.chore.soon()
    hourly.until(25.0)
    assert hourly.done_at == [0, 10, 11, 21]


def test_what_nobody_foresaw_is_raised(day: type[Day]) -> None:
    with pytest.raises(ZeroDivisionError):
        day(ZeroDivisionError()).chore.look()
