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


@pytest.mark.parametrize(
    ("error", "said"), [(ValueError("too odd"), "ValueError"), (KeyboardInterrupt(), "stopped")]
)
def test_a_step_that_fails_is_told_and_its_error_goes_on(error: BaseException, said: str) -> None:
    heard: list[Progress] = []

    def fails() -> None:
        raise error

    with pytest.raises(type(error)):
        told(at_once, heard.append)("train model", fails)
    assert [(p.state, p.detail) for p in heard] == [("started", ""), ("failed", said)]
