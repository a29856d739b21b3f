"""The soak of serving finds what it looks for: each wrong that it knows is done once, and seen."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from soak.answers import Reconciled, Window, reconcile
from soak.asking import Feedback, Journal, Rows, Tensors
from soak.disk import memory_disk, no_room
from soak.memory import Sample, Sampler, lives

ROW = {"unit": "u1", "version": 3, "arm": "champion", "status": 200, "output": 0.25}
NOTHING_TOLD = pa.schema({"prediction": pa.string(), "value": pa.float64()}).empty_table()


LOGGED = pa.schema(
    {
        "id": pa.string(), "unit": pa.string(), "version": pa.int64(), "arm": pa.string(),
        "status": pa.int32(), "output": pa.float64(),
    }
)  # fmt: skip


def logged(*rows: dict[str, Any]) -> pa.Table:
    whole = [{"id": f"w.0.{i}.0", **ROW, **row} for i, row in enumerate(rows)]
    return pa.Table.from_pylist(whole, schema=LOGGED)


@pytest.fixture
def books(tmp_path: Path) -> Iterator[tuple[Journal, Callable[..., Reconciled]]]:
    journal = Journal(tmp_path / "answers.csv")

    def compared(
        predictions: pa.Table,
        *windows: Window,
        feedback: pa.Table = NOTHING_TOLD,
        brittle: tuple[int, ...] = (),
    ) -> Reconciled:
        journal.tell()
        return reconcile(
            [tmp_path / "answers.csv"],
            predictions=predictions, feedback=feedback, windows=windows, brittle=brittle,
        )  # fmt: skip

    yield journal, compared
    journal.close()


def answer(journal: Journal, **other: Any) -> None:
    journal.note("answered", **{"id": "w.0.0.0", **ROW, **other})


def test_what_was_answered_and_logged_once_is_right(books):
    journal, compared = books
    answer(journal)
    answer(journal, id="w.0.1.0", unit="u2")
    found = compared(logged({}, {"unit": "u2"}, {"unit": "u1", "arm": "shadow"}))
    assert found.wrong == []
    assert (found.counts["answered"], found.counts["of shadows"]) == (2, 1)


@pytest.mark.parametrize(
    ("given", "rows", "said"),
    [
        ([{}], [{"id": "other"}], "answers are LOST"),
        ([{}, {}], [{}], "answers were given twice"),
        ([{}], [{}, {"id": "w.0.0.0"}], "predictions are logged twice"),
        ([{}], [{"output": 0.5}], "answers are logged otherwise"),
        ([{}], [{"version": 4}], "answers are logged otherwise"),
        ([{}], [{"unit": "u9"}], "answers are logged otherwise"),
        ([{}], [{}, {"unit": "u9"}], "predictions are logged that nobody asked for"),
        ([{}], [{}, {}], "predictions are logged whose caller was answered something else"),
    ],
)
def test_each_wrong_of_the_log_is_found(books, given, rows, said):
    journal, compared = books
    for other in given:
        answer(journal, **other)
    assert any(said in wrong for wrong in compared(logged(*rows)).wrong)


def window(kind: str, *, begin: float = 0.0, end: float = 1e12, unlogged: bool = False) -> Window:
    return Window(kind=kind, begin=begin, end=end, unlogged=unlogged)


@pytest.mark.parametrize(
    ("error", "excuse", "no_excuse"),
    [
        ({"kind": "dead"}, window("worker killed"), window("disk full")),
        ({"kind": "unreachable"}, window("gateway killed"), window("worker killed")),
        ({"kind": "refused", "status": 503}, window("disk full"), window("worker killed")),
        ({"kind": "refused", "status": 503}, window("disk full"), window("disk full", end=1.0)),
        ({"kind": "refused", "status": 429}, window("project killed"), window("disk full")),
        ({"kind": "unlogged"}, window("disk full", unlogged=True), window("disk full")),
    ],
)
def test_an_error_needs_a_cause_at_its_time(books, error, excuse, no_excuse):
    journal, compared = books
    journal.note(unit="u1", detail="as it was said", **error)
    assert len(compared(logged()).wrong) == len(compared(logged(), no_excuse).wrong) == 1
    assert compared(logged(), excuse).wrong == []


def test_what_was_logged_and_never_answered_is_unknown_and_no_more(books):
    journal, compared = books
    journal.note("dead", "u1")
    found = compared(logged({}), window("worker killed"))
    assert found.wrong == []
    assert (found.counts["unknown"], found.counts["unknown, but logged"]) == (1, 1)


def test_errors_of_a_brittle_edition_are_meant_and_those_of_another_are_not(books):
    journal, compared = books
    failed = {"status": 500, "output": None}
    answer(journal, status=500, output="", detail="ValueError: too dear for edition 7")
    assert compared(logged(failed), brittle=(7,)).wrong == []
    assert "failed 500 at no fault of ours" in str(compared(logged(failed), brittle=(8,)).wrong)


def test_feedback_that_was_taken_is_there_once(books):
    journal, compared = books
    answer(journal)
    journal.note("told", "w.0.0.0", status=200, output=1)
    once = pa.table({"prediction": ["w.0.0.0"], "value": [1.0]})
    assert compared(logged({}), feedback=once).wrong == []
    assert "feedback are LOST" in str(compared(logged({})).wrong)
    twice = pa.concat_tables([once, once])
    assert "feedback are there twice" in str(compared(logged({}), feedback=twice).wrong)


def test_every_form_of_answer_is_written_down(books):
    journal, compared = books
    chance = random.Random(0)
    entry = {"version": 3, "arm": "champion", "unit": "u1"}
    failed = {**entry, "id": "w.0.1.0", "error": "ValueError: too dear for edition 7"}
    Rows(chance, ["u1", "u2"]).answered(
        journal, 200, {"predictions": [{**entry, "id": "w.0.0.0", "output": 0.25}, failed]}
    )
    said = {"parameters": {"prediction_ids": "w.0.2.0,w.0.3.0", "arm": "champion"}}
    outputs = [{"name": "probability", "data": [0.25, 0.25]}]
    Tensors(chance, "u3", 2).answered(
        journal, 200, {**said, "model_version": "3", "outputs": outputs}
    )
    Tensors(chance, "u4", 2).answered(
        journal, 200, {"parameters": {"arm": "champion"}, "model_version": "3", "outputs": outputs}
    )
    Feedback(chance, "w.0.0.0").answered(journal, 503, {"error": "the disk is full"})
    rows = [{}, {"unit": "u2", "status": 500, "output": None}, {"unit": "u3"}, {"unit": "u3"}]
    full = window("disk full", unlogged=True)
    found = compared(logged(*rows), full, brittle=(7,))
    assert found.wrong == []
    assert found.counts["answered"] == 4
    assert (found.counts["answered unlogged"], found.counts["refused"]) == (2, 1)


# ---------------------------------------------------------------- memory


def life(slope_mb_an_hour: float, *, minutes: float = 40, files: float = 0.0) -> Any:
    noise = random.Random(1)
    [found] = lives(
        Sample(
            at=at, role="worker 0", pid=7,
            mb=150 + min(at, 60) + slope_mb_an_hour * at / 3600 + noise.gauss(0, 2),
            files=40 + int(files * at / 60), threads=6,
        )
        for at in range(0, int(60 * minutes), 5)
    )  # fmt: skip
    return found


def test_what_is_filled_at_first_is_flat_and_a_leak_is_not():
    assert life(0).flat
    leak = life(120)
    assert leak.judged
    assert not leak.flat
    assert leak.mb_an_hour == pytest.approx(120, rel=0.1)
    assert not life(0, files=1).flat, "files that are never closed"
    assert not life(120, minutes=5).judged, "too young to say"


def test_a_process_is_seen(tmp_path):
    import os

    (tmp_path / "segment").write_bytes(bytes(1 << 20))
    sampler = Sampler(os.getpid, tmp_path, every_s=0.01)
    sampler.start()
    while len(sampler.log_mb) < 4:
        pass
    sampler.stop()
    found = [each for each in lives(sampler.samples) if each.role == "project"]
    assert found[0].mb > 1
    assert sampler.log_mb[0][1] == 1


# ---------------------------------------------------------------- disk


def test_a_disk_without_room_takes_no_byte_and_then_does(tmp_path):
    folder = tmp_path / "disk"
    with memory_disk(folder, 1) as mounted:
        if not mounted:
            pytest.skip("no file system can be mounted here")
        with no_room(folder, mounted, list), pytest.raises(OSError, match="No space left"):
            (folder / "file").write_bytes(bytes(4096))
        (folder / "file").write_bytes(bytes(4096))
