"""Whoever waits for a search hears of every trial, whichever process makes them."""

from __future__ import annotations

from pathlib import Path
from threading import Event

from onward.app.experiment import _followed
from onward.stages.experiment.progress import Progress, tell

PATIENCE_S = 60.0


def test_trials_are_heard_of_as_they_end_and_the_last_one_for_certain(tmp_path: Path) -> None:
    file = tmp_path / "search.json"
    heard: list[tuple[int, float | None]] = []
    hears = Event()

    def hear(done: int, best: float | None) -> None:
        heard.append((done, best))
        hears.set()

    with _followed(file, hear):
        for progress in (Progress(done=1), Progress(done=2, best=0.5)):
            hears.clear()
            tell(file, progress)
            assert hears.wait(PATIENCE_S)
        tell(file, Progress(done=3, best=0.75))
    assert heard == [(1, None), (2, 0.5), (3, 0.75)]


def test_nobody_is_told_who_does_not_listen(tmp_path: Path) -> None:
    with _followed(tmp_path / "search.json", None):
        pass
