"""The prediction log: what was appended is found and read, whatever happened to the writer."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from log_records import HEADER, WIDE, batch, wide

from onward.core.errors import CorruptError, NotFoundError
from onward.stages.serve.log.pieces import frames
from onward.stages.serve.log.reader import Cursor, answered_by, find, read
from onward.stages.serve.log.segment import MAGIC, Address, segments
from onward.stages.serve.log.writer import PredictionLog


@pytest.fixture
def log(tmp_path):
    opened = PredictionLog(tmp_path, started_ns=time.time_ns())
    yield opened
    opened.close()


def test_an_id_finds_its_prediction(log, tmp_path):
    [a, b] = log.append([(HEADER, batch(3)), (WIDE, wide(2))])
    [c] = log.append([(HEADER, batch(1, first=9))])
    found = find(tmp_path, f"{a}.2")
    assert found.id == f"{a}.2"
    assert found.at.timestamp() == 2
    assert (found.model, found.version, found.arm, found.unit) == ("m", 3, "champion", "u2")
    assert found.request == {"order": "o2", "amount": 2}
    assert found.features == {"amount": 2.0, "day": "mon", "rate": 0.5}
    assert found.output == 2.0
    assert find(tmp_path, f"prediction:{b}.0").output == [0.2, 0.3, 0.5]
    failed = find(tmp_path, f"{b}.1")
    assert (failed.status, failed.output, failed.error) == (500, None, "ValueError: no")
    assert find(tmp_path, f"{c}.0").unit == "u9"


def test_what_is_no_id_is_not_found(log, tmp_path):
    [address] = log.append([(HEADER, batch(1))])
    writer = Address.parse(f"{address}.0").writer
    for text in (
        "", "x", "a.b.c", f"{address}.1", f"{writer}.0.8.0", f"{writer}.0.ffff.0",
        f"{writer}.7.8.0", "../etc.0.0.0", f"{writer}.0.{len(MAGIC) + 3:x}.0",
    ):  # fmt: skip
        with pytest.raises(NotFoundError):
            find(tmp_path, text)


def test_an_id_has_one_spelling_and_a_length_that_a_file_may_have(log, tmp_path):
    """Feedback is joined to predictions by the id, letter by letter."""
    [address] = log.append([(HEADER, batch(1))])
    writer, _, offset, _ = Address.parse(f"{address}.0")
    ids = (
        f"{address}.00", f"{writer}.0.0{offset:x}.0", f"{writer}.0.0x{offset:x}.0",
        f"{writer}. 0.{offset:x}.0", f"{writer}.0.{offset:x}.+0", f"{address}.0\n",
        f"{'a' * 300}.0.8.0", f"a.{'f' * 6000}.8.0",
    )  # fmt: skip
    assert list(answered_by(tmp_path, ids)) == [None] * len(ids)
    assert list(answered_by(tmp_path, [f"{address}.0"])) == ["m"]


def test_who_asks_of_many_ids_may_stop_at_one_that_was_made_up(tmp_path: Path) -> None:
    looked_at = []
    ids = (looked_at.append(n) or f"x.0.{n}.0" for n in range(8, 10_000))  # type: ignore[func-returns-value]
    assert next(answered_by(tmp_path, ids)) is None
    assert looked_at == [8]


def test_reading_goes_on_where_it_stopped(log, tmp_path):
    cursor = Cursor()
    seen = []
    for round_ in range(4):
        log.append([(HEADER, batch(5, first=5 * round_)), (WIDE, wide(2))])
        found, cursor = read(tmp_path, Cursor.loads(cursor.dumps()), limit=5)
        seen += found
        found, cursor = read(tmp_path, cursor, limit=100)
        seen += found
    assert [p.unit for p in seen if p.version == 3] == [f"u{i}" for i in range(20)]
    assert len({p.id for p in seen}) == len(seen) == 28
    assert read(tmp_path, cursor) == ([], cursor)
    assert all(find(tmp_path, p.id) == p for p in seen)


def test_segments_rotate_and_are_read_in_order(tmp_path):
    log = PredictionLog(tmp_path, started_ns=1_000_000, segment_bytes=600)
    for i in range(20):
        log.append([(HEADER, batch(1, first=i))])
    log.close()
    later = PredictionLog(tmp_path, started_ns=2_000_000)
    later.append([(HEADER, batch(1, first=20))])
    later.close()
    assert len(segments(tmp_path)) > 3
    found, cursor = read(tmp_path, limit=7)
    rest, _ = read(tmp_path, cursor)
    assert [p.unit for p in found + rest] == [f"u{i}" for i in range(21)]
    assert read(tmp_path / "nowhere") == ([], Cursor())


@settings(max_examples=60, deadline=None)
@given(cut=st.integers(0, 2_000), zeros=st.sampled_from([0, 3, 5_000]))
def test_a_torn_tail_costs_only_what_was_torn(tmp_path_factory, cut, zeros):
    """`kill -9` cuts the last frame short; a power cut may leave zeros after it as well."""
    folder = tmp_path_factory.mktemp("torn")
    log = PredictionLog(folder, started_ns=1)
    ends = []
    for i in range(4):
        log.append([(HEADER, batch(2, first=2 * i))])
        ends.append(next(folder.iterdir()).stat().st_size)
    log.close()
    [path] = folder.iterdir()
    size = max(len(MAGIC), min(cut, ends[-1]))
    os.truncate(path, size)
    os.truncate(path, size + zeros)
    whole = sum(end <= size for end in ends)
    found, cursor = read(folder)
    assert [p.unit for p in found] == [f"u{i}" for i in range(2 * whole)]
    assert read(folder, cursor) == ([], cursor)


def test_damage_within_the_log_is_no_torn_tail(log, tmp_path):
    [first] = log.append([(HEADER, batch(2))])
    log.append([(HEADER, batch(2))])
    [path] = tmp_path.iterdir()
    data = bytearray(path.read_bytes())
    at = Address.parse(f"{first}.0").offset + 20
    data[at] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(CorruptError, match="damaged at byte"):
        read(tmp_path)
    with pytest.raises(CorruptError, match="damaged at byte"):
        find(tmp_path, f"{first}.0")
    path.write_bytes(b"something else" + bytes(data))
    with pytest.raises(CorruptError, match="no segment"):
        read(tmp_path)


def test_a_failed_write_leaves_nothing_and_the_log_goes_on(log, tmp_path, monkeypatch):
    log.append([(HEADER, batch(1, first=0))])
    real, budget = os.write, [40]

    def full(fd: int, data: bytes) -> int:
        if budget[0] == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = real(fd, bytes(data)[: budget[0]])
        budget[0] -= written
        return written

    monkeypatch.setattr(os, "write", full)
    for _ in range(5):
        with pytest.raises(OSError, match="No space"):
            log.append([(HEADER, batch(1, first=99))])
    monkeypatch.undo()
    assert len(segments(tmp_path)) == 1
    log.append([(HEADER, batch(1, first=1))])
    assert [p.unit for p in read(tmp_path)[0]] == ["u0", "u1"]


def test_a_segment_whose_first_batch_fails_is_not_left_behind(log, tmp_path, monkeypatch):
    real = os.write

    def full(fd: int, data: bytes) -> int:
        if len(data) > len(MAGIC):
            raise OSError(errno.EFBIG, "File too large")
        return real(fd, data)

    monkeypatch.setattr(os, "write", full)
    for _ in range(3):
        with pytest.raises(OSError, match="too large"):
            log.append([(HEADER, batch(1))])
    assert segments(tmp_path) == []


WRITER = """
import sys, time
from pathlib import Path
sys.path.insert(0, {tests!r})
from log_records import HEADER, batch
from onward.stages.serve.log.writer import PredictionLog
log = PredictionLog(Path({folder!r}), started_ns=time.time_ns(), segment_bytes=20_000)
i = 0
while True:
    [address] = log.append([(HEADER, batch(2, first=i))])
    print(address, flush=True)
    i += 2
"""


@pytest.mark.crash
def test_what_was_appended_survives_kill_9(tmp_path):
    """Every address that a killed writer told of is in the log; the next writer spoils nothing."""
    told = []
    for _ in range(3):
        code = WRITER.format(tests=str(Path(__file__).parents[1]), folder=str(tmp_path))
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            for _ in range(150):
                told.append(process.stdout.readline().decode().strip())
            os.kill(process.pid, signal.SIGKILL)
            told += [line.decode().strip() for line in process.stdout if line.endswith(b"\n")]
    found, _ = read(tmp_path)
    ids = {p.id for p in found}
    assert len(ids) == len(found)
    assert {f"{address}.{row}" for address in told for row in (0, 1)} <= ids


@settings(max_examples=40, deadline=None)
@given(rows=st.lists(st.integers(1, 40), min_size=1, max_size=12), piece=st.integers(1, 3_000))
def test_a_segment_is_the_same_however_it_is_cut_into_pieces(tmp_path_factory, rows, piece):
    folder = tmp_path_factory.mktemp("pieces")
    log = PredictionLog(folder, started_ns=1)
    for n in rows:
        log.append([(HEADER, batch(n))])
    log.close()
    [path] = folder.iterdir()
    with path.open("rb") as file:
        whole = list(frames(file.fileno(), len(MAGIC)))
        assert len(whole) == len(rows) + 1, "and the header"
        assert list(frames(file.fileno(), len(MAGIC), piece)) == whole
        assert list(frames(file.fileno(), whole[0][2], piece)) == whole[1:]
    data = bytearray(path.read_bytes())
    data[whole[0][2] - 1] ^= 0xFF  # within the header, before others
    path.write_bytes(data)
    with path.open("rb") as file, pytest.raises(CorruptError, match=r"byte 8\n"):
        list(frames(file.fileno(), len(MAGIC), piece))
