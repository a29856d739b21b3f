"""What a person who waits is told of a step that gave nothing."""

from __future__ import annotations

import pytest

from onward.flow.progress import Progress, at_once, told


def test_a_champion_that_there_is_not_yet_is_no_news_of_data() -> None:
    heard: list[Progress] = []
    steps = told(at_once, heard.append)
    assert steps("evaluate champion", lambda: None) is None
    assert steps("ingest orders", lambda: None) is None
    ended = [(p.subject, p.detail) for p in heard if p.state == "finished"]
    assert ended == [("champion", "none yet"), ("orders", "nothing new")]


def test_a_step_that_fails_is_told_and_its_error_goes_on() -> None:
    heard: list[Progress] = []

    def fails() -> None:
        raise ValueError("too odd")

    with pytest.raises(ValueError, match="too odd"):
        told(at_once, heard.append)("train model", fails)
    assert [p.state for p in heard] == ["started", "failed"]
