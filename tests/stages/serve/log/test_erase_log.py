"""Blanking a subject's predictions: they are gone, and every other byte that is asked for stays."""

from __future__ import annotations

import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from onward.core.records import Subject
from onward.stages.serve.log.erase import _SHORTEST, _filler, erase_log, ids_about
from onward.stages.serve.log.reader import find, read, read_span
from onward.stages.serve.log.segment import Batch, Feedback, Header, segments
from onward.stages.serve.log.writer import PredictionLog

HEADER = Header("m", 1, "sha256:0", "release:m@1", "champion", ("order", "who", "note"),
                ("x", "word"), (1,), 1)  # fmt: skip
SUBJECT = Subject(columns=("who",), values=frozenset({"ada", "42"}), units=frozenset({"o-9"}))

rows = st.tuples(
    st.sampled_from(["o-1", "o-9", "ada", ""]),
    st.sampled_from(["ada", "bob", 42, 7, None]),
    st.text(max_size=300),
    st.booleans(),
)
batches = st.lists(st.lists(rows, min_size=1, max_size=4), min_size=1, max_size=4)


def written(folder: Path, given: list[list[tuple]]) -> None:
    log = PredictionLog(folder, started_ns=time.time_ns())
    for batch in given:
        n = len(batch)
        log.append([(HEADER, Batch(
            header=0, at=list(range(n)), unit=[unit for unit, *_ in batch], status=[200] * n,
            latency_us=[9] * n,
            requests=[(unit, who, note) if sent else None for unit, who, note, sent in batch],
            features=np.arange(2.0 * n).tobytes(), strings=[(note,) for *_, note, _ in batch],
            output=np.arange(float(n)).tobytes(),
            errors=[note or None for *_, note, _ in batch],
        ))])  # fmt: skip
    log.close()


def is_hers(row: tuple) -> bool:
    unit, who, _, sent = row
    return unit in ("o-9", "ada") or (sent and who in ("ada", 42))


@settings(deadline=None, max_examples=60)
@given(given=batches)
def test_her_rows_are_blank_and_all_others_as_they_were(given: list[list[tuple]]) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        written(folder, given)
        before, end = read(folder)
        sizes = [s.within(folder).stat().st_size for s in segments(folder)]
        hers = [is_hers(row) for batch in given for row in batch]
        assert erase_log(folder, SUBJECT, dry_run=True) == sum(hers)
        assert read(folder)[0] == before
        assert erase_log(folder, SUBJECT) == sum(hers)
        after, _ = read(folder)
        assert read(folder, end)[0] == []  # a cursor from before still points between frames
        assert [s.within(folder).stat().st_size for s in segments(folder)] == sizes
        for old, new, gone in zip(before, after, hers, strict=True):
            assert find(folder, old.id) == new
            if not gone:
                assert new == old
                continue
            assert new.unit.strip("~") == ""
            assert (new.id, new.at, new.version, new.status) == (old.id, old.at, 1, 200)
            assert (new.request, new.error) == ({}, None)
            assert set(new.features.values()) == {None}
        assert erase_log(folder, SUBJECT) == 0


def told(prediction: str, value: float | str, name: str = "label") -> Feedback:
    return Feedback([5, 6], ["m", "m"], [prediction, "other.0.8.0"], [name, name], [value, 1.0])


@settings(deadline=None, max_examples=30)
@given(value=st.floats(allow_nan=False) | st.text(max_size=60), name=st.text("ab", min_size=1))
def test_feedback_on_her_predictions_goes_with_them(value: float | str, name: str) -> None:
    with TemporaryDirectory() as text:
        folder = Path(text)
        log = PredictionLog(folder, started_ns=1)
        [hers] = log.append([(HEADER, Batch(
            header=0, at=[1], unit=["o-9"], status=[200], latency_us=[1], requests=[None],
            features=np.zeros(2).tobytes(), strings=[("",)], output=np.zeros(1).tobytes(),
            errors=None,
        ))])  # fmt: skip
        log.append([], [told(f"{hers}.0", value, name)])
        log.append([], [told("earlier.0.8.0", value, name)])
        log.close()
        assert list(ids_about(folder, SUBJECT)) == [f"{hers}.0"]
        before, end = read_span(folder).feedback, read_span(folder).cursor
        assert erase_log(folder, SUBJECT, ids={"earlier.0.8.0"}, dry_run=True) == 3
        assert erase_log(folder, SUBJECT, ids={"earlier.0.8.0"}) == 3
        after = read_span(folder).feedback
        assert not read_span(folder, end)
        for old, new in zip(before, after, strict=True):
            assert (new.address, new.feedback.at) == (old.address, old.feedback.at)
            assert new.feedback.prediction == old.feedback.prediction
            assert new.feedback.value == [None, 1.0]
            assert new.feedback.name[0].strip("~") == ""
            assert new.feedback.name[1] == name
        assert erase_log(folder, SUBJECT, ids={"earlier.0.8.0"}) == 0


def test_every_gap_can_be_filled() -> None:
    for length in (*range(_SHORTEST, 600), *range(65_500, 65_600, 3)):
        assert len(_filler(length)) == length


def test_there_may_be_no_log(tmp_path: Path) -> None:
    assert erase_log(tmp_path / "none", SUBJECT) == 0
