"""Folding the log into the lake: each prediction once."""

from __future__ import annotations

import errno
import json
import math
import os
from datetime import UTC, datetime, timedelta
from threading import Thread
from typing import Any

import pytest
from log_records import HEADER, WIDE, batch, feedback, wide

from onward.core.errors import NotFoundError
from onward.core.records import Statement
from onward.infra.lake.iceberg import open_lake
from onward.stages.serve.log import reader
from onward.stages.serve.log.reader import GONE, Cursor, answered_by, read
from onward.stages.serve.log.segment import Address, segments
from onward.stages.serve.log.tables import predictions_table
from onward.stages.serve.log.writer import PredictionLog
from onward.stages.serve.search import Wanted, search
from onward.stages.serve.step import FEEDBACK, TABLE, cursor, fold, look_up, prune, statements


@pytest.fixture
def lake(tmp_path):
    return open_lake(tmp_path / "lake")


def test_each_prediction_is_folded_once(tmp_path, lake):
    folder = tmp_path / "predictions"
    assert fold(folder, lake=lake, run="r0") == 0
    log = PredictionLog(folder, started_ns=1)
    log.append([(HEADER, batch(3)), (WIDE, wide(2))])
    assert fold(folder, lake=lake, run="r1", limit=3) == 5
    assert fold(folder, lake=lake, run="r1") == 0
    log.append([(HEADER, batch(2, first=3))])
    assert fold(folder, lake=lake, run="r1") == 2
    log.close()
    rows = lake.read(TABLE).sort_by("id").to_pylist()
    predictions = sorted(read(folder)[0], key=lambda p: p.id)
    assert [r["id"] for r in rows] == [p.id for p in predictions]
    for row, p in zip(rows, predictions, strict=True):
        for name in ("at", "model", "version", "image", "release", "arm", "unit", "status",
                     "latency_us", "error"):  # fmt: skip
            assert row[name] == getattr(p, name)
        assert json.loads(row["request"]) == p.request
        numbers = [v if isinstance(v, float) else None for v in p.features.values()]
        assert [None if math.isnan(v) else v for v in row["features"]] == numbers
    assert [r["output"] for r in rows if r["version"] == 4] == [2.0, None]
    assert {(r["version"], r["outputs"] is None) for r in rows} == {(3, True), (4, False)}


def test_small_ticks_make_one_column_not_one_each(tmp_path):
    """A table for each tick of two rows took 190 us of CPU and 14 KB a row."""
    log = PredictionLog(tmp_path, started_ns=1)
    for n in range(20):
        log.append([(HEADER, batch(1, first=n)), (WIDE, wide(2))])
    log.close()
    table = predictions_table(reader.read_span(tmp_path).batches)
    assert table.num_rows == 60
    assert {column.num_chunks for column in table.columns} == {1}


def test_it_ends_although_more_is_logged_all_the_time(tmp_path, lake, monkeypatch):
    """What comes while it folds, or while the log is searched, is the next one's."""
    folder = tmp_path / "predictions"
    log = PredictionLog(folder, started_ns=1)
    log.append([(HEADER, batch(3))])
    append = type(lake).append

    def busy(*arguments, **options):
        log.append([(HEADER, batch(1))])
        return append(*arguments, **options)

    monkeypatch.setattr(type(lake), "append", busy)
    assert fold(folder, lake=lake, run="r1", limit=2) == 3
    assert fold(folder, lake=lake, run="r2") == 1
    log.append([(HEADER, batch(1))])
    read_before = reader.read_span

    def read_busily(*arguments, **options):
        log.append([(HEADER, batch(1))])
        return read_before(*arguments, **options)

    monkeypatch.setattr("onward.stages.serve.search.read_span", read_busily)
    assert len(search(folder, Wanted(), lake=lake, limit=100)) == 4 + 1 + 1 + 1
    log.close()


def test_feedback_is_lost_to_no_fold_in_the_same_second(tmp_path, lake):
    """A run's name has seconds, and feedback alone does not move the cursor of predictions."""
    folder = tmp_path / "predictions"
    log = PredictionLog(folder, started_ns=1)
    [address] = log.append([(HEADER, batch(2))])
    fold(folder, lake=lake, run="before")
    log.append([], [feedback(f"{address}.0", 1.0)])
    fold(folder, lake=lake, run="now")
    log.append([(HEADER, batch(1))], [feedback(f"{address}.1", 1.0)])
    fold(folder, lake=lake, run="now")
    log.close()
    told = lake.read(FEEDBACK)["prediction"].to_pylist()
    assert sorted(told) == [f"{address}.0", f"{address}.1"]


def test_two_who_fold_at_once_double_nothing(tmp_path, lake, monkeypatch):
    """`onward features audit` folds too, beside `onward up`."""
    folder = tmp_path / "predictions"
    log = PredictionLog(folder, started_ns=1)
    log.append([(HEADER, batch(1))])
    fold(folder, lake=lake, run="before")
    log.append([(HEADER, batch(3))])
    log.close()
    append, others = type(lake).append, []

    def meanwhile(self, *arguments, **options):
        if not others:
            second = open_lake(tmp_path / "lake")
            others.append(Thread(target=fold, args=(folder,), kwargs={"lake": second, "run": "b"}))
            others[0].start()
            others[0].join(0.5)  # were it not to wait, it would have done by now
        return append(self, *arguments, **options)

    monkeypatch.setattr(type(lake), "append", meanwhile)
    assert fold(folder, lake=lake, run="a") == 3
    others[0].join()
    ids = lake.read(TABLE)["id"].to_pylist()
    assert len(ids) == len({*ids}) == 4


def test_feedback_is_folded_once_beside_predictions(tmp_path, lake):
    folder = tmp_path / "predictions"
    log = PredictionLog(folder, started_ns=1)
    [a, told] = log.append([(HEADER, batch(2))], [feedback("p.0.8.0", 1.0, "label")])
    assert told > a
    log.append([], [feedback("p.0.8.0", True, "reward"), feedback("p.0.9.1", "late", "label")])
    assert fold(folder, lake=lake, run="r1", limit=2) == 2
    assert fold(folder, lake=lake, run="r1") == 0
    log.append([(HEADER, batch(1))], [feedback("p.0.8.0", 0, "label")])
    assert fold(folder, lake=lake, run="r2") == 1
    log.close()
    rows = sorted(lake.read(FEEDBACK).to_pylist(), key=lambda r: Address.parse(r["id"]))
    assert rows[0]["id"] == f"{told}.0"
    assert rows[0]["at"].timestamp() == 2
    assert {r["model"] for r in rows} == {"m"}
    kept = [(r["prediction"], r["name"], r["value"], r["text"]) for r in rows]
    assert kept == [
        ("p.0.8.0", "label", 1.0, None),
        ("p.0.8.0", "reward", 1.0, None),
        ("p.0.9.1", "label", None, "late"),
        ("p.0.8.0", "label", 0.0, None),
    ]


def test_what_was_told_of_a_prediction_is_found_folded_or_not(tmp_path, lake):
    folder = tmp_path / "predictions"
    log = PredictionLog(folder, started_ns=1)
    assert statements(folder, "p.0.8.0", lake=lake) == []
    log.append([], [feedback("p.0.8.0", 1.0), feedback("p.0.9.1", 0.0)])
    log.append([], [feedback("p.0.8.0", "slow", "why"), feedback("p.0.8.0", 0.0)])
    at = datetime.fromtimestamp(2, UTC)
    expected = [
        Statement(name="label", value=0.0, at=at), Statement(name="why", value="slow", at=at),
    ]  # fmt: skip
    assert statements(folder, "p.0.8.0", lake=lake) == expected
    fold(folder, lake=lake, run="r1")
    assert statements(folder, "prediction:p.0.8.0", lake=lake) == expected
    log.append([], [feedback("p.0.8.0", True)])
    log.close()
    assert statements(folder, "p.0.8.0", lake=lake)[0].value == 1.0
    assert statements(folder, "p.0.9.2", lake=lake) == []


def test_a_crash_between_the_two_tables_doubles_no_feedback(tmp_path, lake):
    folder = tmp_path / "predictions"
    log = PredictionLog(folder, started_ns=1)
    log.append([(HEADER, batch(3))], [feedback("p.0.8.0", 1.0, "label")])

    class DiesAtPredictions:
        def __getattr__(self, name):
            return getattr(lake, name)

        def append(self, table, *args, **options):
            if table == TABLE:
                raise KeyboardInterrupt
            return lake.append(table, *args, **options)

    with pytest.raises(KeyboardInterrupt):
        fold(folder, lake=DiesAtPredictions(), run="r1")
    log.append([], [feedback("p.0.8.1", 0.0, "label")])
    assert fold(folder, lake=lake, run="r2") == 3
    log.close()
    assert sorted(lake.read(FEEDBACK)["prediction"].to_pylist()) == ["p.0.8.0", "p.0.8.1"]
    assert lake.read(TABLE).num_rows == 3


def test_a_crash_before_or_after_the_commit_changes_nothing(tmp_path, lake):
    folder = tmp_path / "predictions"
    log = PredictionLog(folder, started_ns=1)
    log.append([(HEADER, batch(4))])
    log.close()

    class Dies:
        def __init__(self, after: bool) -> None:
            self.after = after

        def __getattr__(self, name):
            return getattr(lake, name)

        def append(self, *args, **options):
            if self.after:
                lake.append(*args, **options)
            raise KeyboardInterrupt

    for after in (False, True):
        with pytest.raises(KeyboardInterrupt):
            fold(folder, lake=Dies(after), run="r1")
    assert fold(folder, lake=lake, run="r1") == 0
    assert lake.read(TABLE).num_rows == 4


def test_segments_go_once_they_are_in_the_lake_and_ids_stay_good(tmp_path, lake):
    """An id is answered before folding, after it, and after its segment is gone, all alike."""
    folder = tmp_path / "predictions"
    logs = [PredictionLog(folder, started_ns=n, segment_bytes=600) for n in (10**6, 2 * 10**6)]
    for i in range(12):
        for log in logs:
            log.append([(HEADER, batch(2, first=2 * i)), (WIDE, wide(2))])
    before = {p.id: p for p in read(folder)[0]}
    every = segments(folder)
    later = datetime.now(UTC) + timedelta(hours=1)
    assert prune(folder, lake=lake, before=later) == [], "nothing is folded yet"
    assert fold(folder, lake=lake, run="r1", limit=20) == len(before)
    logs[0].close()
    assert prune(folder, lake=lake, before=later - timedelta(days=1)) == [], "none is old enough"
    gone = prune(folder, lake=lake, before=later)
    [left] = segments(folder)
    assert len(gone) == len(every) - 1
    assert left == every[-1], "a writer holds it"
    found = {known: look_up(folder, known, lake=lake) for known in before}
    assert found == before
    logs[1].append([(HEADER, batch(1, first=99))])
    assert fold(folder, lake=lake, run="r2") == 1
    logs[1].close()
    assert prune(folder, lake=lake, before=later)
    assert segments(folder) == []
    known = next(iter(before))
    assert list(answered_by(folder, [known, "x.0.8.0", f"{logs[1].writer}.77.8.0"])) == [
        GONE, None, None,
    ]  # fmt: skip
    assert lake.read(TABLE).num_rows == len(before) + 1
    with pytest.raises(NotFoundError, match="no prediction"):
        look_up(folder, f"{next(iter(before)).rpartition('.')[0]}.77", lake=lake)


def test_the_cursor_speaks_of_no_writer_whose_segments_have_gone(tmp_path, lake):
    folder = tmp_path / "predictions"
    later = datetime.now(UTC) + timedelta(hours=1)
    for n in range(1, 5):
        log = PredictionLog(folder, started_ns=n * 10**6)
        log.append([(HEADER, batch(1, first=n))])
        log.close()
        assert fold(folder, lake=lake, run=f"r{n}") == 1
        assert set(cursor(lake).positions) == {segment.writer for segment in segments(folder)}
        prune(folder, lake=lake, before=later)
    away = folder.rename(tmp_path / "away")  # a folder that is not mounted says nothing
    assert fold(folder, lake=lake, run="r9") == 0
    away.rename(folder)
    assert fold(folder, lake=lake, run="r10") == 0
    assert lake.read(TABLE).num_rows == 4


def test_what_is_not_folded_or_was_written_since_stays(tmp_path, lake):
    folder = tmp_path / "predictions"
    log = PredictionLog(folder, started_ns=1)
    log.append([(HEADER, batch(2))])
    fold(folder, lake=lake, run="r1")
    log.append([(HEADER, batch(2))])
    log.close()
    later = datetime.now(UTC) + timedelta(hours=1)
    assert prune(folder, lake=lake, before=later) == []
    [segment] = segments(folder)
    fold(folder, lake=lake, run="r2")
    with segment.within(folder).open("ab") as file:
        file.write(b"torn")
    assert prune(folder, lake=lake, before=later) == [segment.within(folder)]
    with pytest.raises(NotFoundError):
        look_up(folder, "x.0.8.0", lake=open_lake(tmp_path / "another"))


def test_a_disk_that_is_full_keeps_segments_from_going_and_says_so(tmp_path, lake, monkeypatch):
    folder = tmp_path / "predictions"
    log = PredictionLog(folder, started_ns=1)
    log.append([(HEADER, batch(1))])
    log.close()
    fold(folder, lake=lake, run="r1")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("onward.stages.serve.log.prune._remember", full)
    with pytest.raises(OSError, match="No space left"):
        prune(folder, lake=lake, before=datetime.now(UTC) + timedelta(days=1))
    assert len(segments(folder)) == 1


def test_a_segment_that_goes_while_it_is_looked_for_is_found_in_the_lake(
    tmp_path, lake, monkeypatch
):
    folder = tmp_path / "predictions"
    log = PredictionLog(folder, started_ns=1)
    [address] = log.append([(HEADER, batch(2))])
    fold(folder, lake=lake, run="r1")
    log.close()
    seen = segments(folder)
    assert prune(folder, lake=lake, before=datetime.now(UTC) + timedelta(hours=1))
    monkeypatch.setattr(reader, "segments", lambda _: seen)
    assert read(folder) == ([], Cursor())
    assert look_up(folder, f"{address}.1", lake=lake).unit == "u1"


def test_predictions_are_searched_in_the_lake_and_the_log_as_one(tmp_path, lake):
    folder = tmp_path / "predictions"
    assert search(folder, Wanted(), lake=lake, limit=5) == []
    log = PredictionLog(folder, started_ns=1)
    log.append([(HEADER, batch(3)), (WIDE, wide(2))])
    fold(folder, lake=lake, run="r1")
    log.append([(HEADER, batch(3, first=3))], [feedback("p", 1.0)])
    log.close()
    logged = {p.id: p for p in read(folder)[0]}

    def found(limit: int = 100, **wanted: Any) -> list[str]:
        predictions = search(folder, Wanted(**wanted), lake=lake, limit=limit)
        assert all(logged[p.id] == p for p in predictions)
        assert [p.at for p in predictions] == sorted((p.at for p in predictions), reverse=True)
        return [p.unit for p in predictions]

    assert len(found()) == 8
    assert found(limit=2) == ["u5", "u4"]
    assert found(unit="u1") == ["u1"]
    assert found(arm="champion") == [f"u{i}" for i in (5, 4, 3, 2, 1, 0)]
    assert found(version=4, model="m") == ["w", "w"]
    assert found(failed=True) == ["w"]
    second = [datetime.fromtimestamp(n, UTC) for n in range(6)]
    assert found(since=second[2], until=second[4]) == ["u3", "u2"]
    assert found(model="another") == []
