"""`onward up` without its processes: what is in the way of one thing holds no other up."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable
from functools import partial
from math import inf
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import onward.app.up
from onward.app.project import Project, open_project
from onward.app.up import Up
from onward.core.errors import DataError
from onward.core.records import RunRequest
from onward.flow.run.requests import ask, waiting
from onward.flow.run.runs import request

PATIENCE_S = 120.0


class Hindered:
    """A project that is up without a gateway's process, on a clock of its own.

    What is `broken`, by its name in `onward.app.up`, finds the disk full.
    """

    def __init__(self, project: Project, monkeypatch: pytest.MonkeyPatch, *broken: str) -> None:
        self.said: list[str] = []
        self.now = 1000.0
        self.broken = set(broken)
        self.called: list[str] = []
        server = SimpleNamespace(alive=lambda: True)
        self.up: Any = Up(project, say=self.said.append)
        self.up._gateway = SimpleNamespace(server=server, settle=lambda model: None)
        clock = SimpleNamespace(monotonic=lambda: self.now)
        monkeypatch.setattr("onward.app.chore.time", clock)
        for what in broken:
            real = getattr(onward.app.up, what)
            monkeypatch.setattr(f"onward.app.up.{what}", partial(self._call, what, real))

    def _call(self, what: str, real: Callable[..., Any], *words: Any, **named: Any) -> Any:
        self.called.append(what)
        if what in self.broken:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(*words, **named)

    def turn(self, *, after_s: float = 0.0) -> list[str]:
        """Turn once; return what was said meanwhile."""
        self.now += after_s
        self.said.clear()
        self.up.turn()
        return [*self.said]


def test_a_full_disk_is_told_once_and_what_needs_none_goes_on(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_project(shop) as project:
        assert project.run() is not None
        hindered = Hindered(project, monkeypatch, "take_in", "judge_release", "bring_in")
        hindered.broken = {"take_in", "bring_in"}
        resumed: list[int] = []
        monkeypatch.setattr(project, "resume", lambda: resumed.append(1))
        said = hindered.turn()
        assert [words.partition(":")[0] for words in said] == ["error"] * 2
        assert all("the disk is full" in words for words in said)
        assert hindered.called == ["take_in", "judge_release", "bring_in"], "the release goes on"
        assert hindered.up._pause_s == 1.0
        assert resumed == [1]
        assert hindered.turn(after_s=1.0) == [], "it is the same, and not told again"
        assert resumed == [1, 1], "a run that it ended goes on, and needs no other process for that"
        assert hindered.up._pause_s == 2.0

        hindered.broken.clear()
        assert hindered.turn(after_s=1.0) == []
        assert hindered.turn(after_s=1.0) == ["no longer in the way: the disk is full"] * 2
        assert hindered.up._pause_s == inf
        assert hindered.called.count("judge_release") == 4


def test_a_pipeline_that_cannot_be_loaded_holds_nothing_else_up(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_project(shop) as project:
        assert project.run() is not None
        hindered = Hindered(project, monkeypatch, "judge_release")
        hindered.broken.clear()
        assert hindered.turn() == []
        file, delivered = shop / "pipeline.py", []
        good = file.read_text()
        file.write_text(good.replace("ow.Source(", "ow.Sauce("))
        [error] = hindered.turn(after_s=1.0)
        assert "'Sauce'" in error
        assert "did you mean 'Source'" in error
        ask(project.site, project.definition.model, request(project.site, "asked"))
        for _ in range(3):
            assert hindered.turn(after_s=60.0) == []
        assert len(waiting(project.ledger)) == 1, "what is asked for waits for the pipeline"
        assert hindered.called.count("judge_release") == 5

        def deliver(wish: RunRequest) -> Any:
            delivered.append(wish.reason)
            if wish.reason == "the pipeline changed":
                raise DataError("the source is away")
            return SimpleNamespace(id=wish.id, state="unchanged", reason="nothing new")

        monkeypatch.setattr(project, "deliver", deliver)
        file.write_text(good.replace("amount > 0", "amount > 0.5"))
        said = hindered.turn()  # at once, although the next try was a minute away
        assert said[0].startswith("no longer in the way: the pipeline file raised")
        assert said[1:] == ["the pipeline changed: training", "error: the source is away"]
        assert delivered == ["the pipeline changed"]


@pytest.mark.parametrize("what", ["resume", "deliver"])
def test_releases_are_judged_during_whatever_run_is_under_way(
    shop: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    judged = threading.Event()
    judge = onward.app.up.judge_release

    def judge_release(*given: Any) -> Any:
        if threading.current_thread() is not threading.main_thread():
            judged.set()
        return judge(*given)

    def lasting(*_: Any) -> Any:
        assert judged.wait(PATIENCE_S), "nothing is judged"
        return SimpleNamespace(id="run-1", state="unchanged", reason="nothing new")

    with open_project(shop) as project:
        assert project.run() is not None
        hindered = Hindered(project, monkeypatch)
        hindered.up._poll_s = 0.001
        hindered.up._meanwhile = (hindered.up._judging, hindered.up._keeping)
        monkeypatch.setattr("onward.app.up.judge_release", judge_release)
        monkeypatch.setattr(project, what, lasting)
        if what == "deliver":
            wish = request(project.site, "asked", train=False)  # no run did the same
            ask(project.site, project.definition.model, wish)
        said = hindered.turn()
    assert said in (["finished run run-1: unchanged"], ["run run-1: unchanged; nothing new"])
    assert not [t for t in threading.enumerate() if t.name.startswith("meanwhile")]
