"""Flushing in groups: what one flush covers, who waits, and what a failing disk means."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from log_records import HEADER, batch

from onward.stages.serve.log.reader import read
from onward.stages.serve.log.segment import segments
from onward.stages.serve.log.writer import PredictionLog

SECOND = 1_000_000_000


class Disk:
    """A disk whose flushes wait to be let through, and may fail; it knows how much is safe."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun = threading.Semaphore(0)
        self.failures: list[int] = []
        self.flushed: dict[int, int] = {}
        self._gate = threading.Semaphore(0)
        self._open = False
        self._real = os.fdatasync
        monkeypatch.setattr(os, "fdatasync", self._flush)

    def _flush(self, fd: int) -> None:
        size = os.fstat(fd).st_size
        if not self._open:
            self.begun.release()
            self._gate.acquire()
        if self.failures:
            raise OSError(self.failures.pop(), "the disk says no")
        self._real(fd)
        self.flushed[os.fstat(fd).st_ino] = size

    def let(self, flushes: int = 1) -> None:
        self._gate.release(flushes)

    def let_all(self) -> None:
        self._open = True
        self._gate.release(1_000)

    def under_way(self) -> None:
        """Wait until a flush has begun."""
        assert self.begun.acquire(timeout=20)


class Settled:
    """What the flusher told."""

    def __init__(self) -> None:
        self.told: list[tuple[int, OSError | None]] = []
        self._more = threading.Semaphore(0)
        self._heard = 0

    def __call__(self, position: int, failure: OSError | None) -> None:
        self.told.append((position, failure))
        self._more.release()

    def next(self) -> tuple[int, OSError | None]:
        assert self._more.acquire(timeout=20)
        self._heard += 1
        return self.told[self._heard - 1]


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


@pytest.fixture
def opened(tmp_path: Path, disk: Disk) -> Iterator[Callable[..., tuple[PredictionLog, Settled]]]:
    logs = []

    def open_log(bound_s: float = 1_000.0) -> tuple[PredictionLog, Settled]:
        log = PredictionLog(tmp_path, started_ns=time.time_ns(), bound_s=bound_s)
        settled = Settled()
        log.listen(settled)
        logs.append(log)
        return log, settled

    yield open_log
    disk.let_all()
    for log in logs:
        log.close()


def write(log: PredictionLog, first: int = 0) -> int:
    log.append([(HEADER, batch(1, first=first))])
    return log.position


def test_what_comes_during_a_flush_is_covered_by_the_next_one(opened, disk):
    log, settled = opened()
    first = write(log)
    log.hurry()
    disk.under_way()
    for i in range(1, 4):  # three ticks that arrive while the disk is busy
        last = write(log, i)
        log.hurry()
    disk.let()
    assert settled.next() == (first, None)
    disk.under_way()
    disk.let()
    assert settled.next() == (last, None)
    assert len(settled.told) == 2
    assert log.flusher.flushes == 2


def test_what_was_settled_is_on_the_disk_across_segments(tmp_path, opened, disk):
    disk.let_all()
    log, settled = opened()
    log._limit = 200
    for i in range(12):
        write(log, i)
        log.hurry()
        assert settled.next() == (log.position, None)
        for segment in segments(tmp_path):
            stat = segment.within(tmp_path).stat()
            assert disk.flushed[stat.st_ino] == stat.st_size
    assert len(segments(tmp_path)) > 3


def test_nobody_is_told_of_a_flush_that_nobody_waits_for(opened, disk):
    log, settled = opened()
    write(log)
    disk.under_way()
    disk.let()
    write(log)
    log.hurry()
    disk.under_way()
    disk.let()
    assert settled.next() == (log.position, None)
    assert len(settled.told) == 1


def test_the_log_is_behind_once_the_bound_has_passed(opened, disk):
    """`fast`: an answer leaves while less than the bound is unflushed, however slow the disk is."""
    log, settled = opened(bound_s=10.0)
    before = time.perf_counter_ns()
    assert not log.behind(before)
    write(log)
    after = time.perf_counter_ns()
    disk.under_way()  # the first flush is due at once, and hangs
    assert not log.behind(before + 10 * SECOND)
    assert not log.flusher.failing(before + 5 * SECOND)
    assert log.flusher.failing(after + 6 * SECOND), "it does not come back"
    assert log.behind(after + 10 * SECOND + 1)
    write(log)  # what is written meanwhile is younger: the flush under way still counts
    assert log.behind(after + 10 * SECOND + 1)
    log.hurry()
    disk.let()
    disk.under_way()
    disk.let()
    settled.next()
    assert not log.behind(time.perf_counter_ns() + 100 * SECOND)
    assert not log.flusher.failing(time.perf_counter_ns() + 100 * SECOND)


def test_flushes_begin_twice_in_a_bound(opened, disk):
    disk.let_all()
    log, _ = opened(bound_s=0.02)
    deadline = time.monotonic() + 20
    while log.flusher.flushes < 5:
        write(log)
        assert time.monotonic() < deadline
        os.sched_yield()


def test_a_failed_flush_is_told_and_its_segment_is_left(tmp_path, opened, disk):
    """What a failed flush covered is in doubt for ever: a later success says nothing of it."""
    log, settled = opened()
    disk.failures = [errno.EIO]
    first = write(log, 0)
    log.hurry()
    disk.under_way()
    between = write(log, 1)  # goes into the same segment
    log.hurry()
    disk.let()
    position, failure = settled.next()
    assert position == first
    assert failure is not None
    assert log.behind(time.perf_counter_ns())
    position, failure = settled.next()  # of a spoilt segment no flush is believed
    assert position == between
    assert failure is not None
    assert failure.errno == errno.EIO
    disk.let_all()
    write(log, 2)
    log.hurry()
    settled.next()  # the spoilt segment is flushed with it, and closed
    write(log, 3)
    log.hurry()
    assert settled.next() == (log.position, None)
    assert not log.behind(time.perf_counter_ns())
    assert len(segments(tmp_path)) == 2
    assert [p.unit for p in read(tmp_path)[0]] == ["u0", "u1", "u2", "u3"]
    assert log.flusher.failures >= 2


def test_a_segment_counts_once_its_folder_knows_it(opened, disk, monkeypatch):
    disk.let_all()
    real, synced = os.fsync, []

    def fsync(fd: int) -> None:
        synced.append(fd)
        if len(synced) == 1:
            raise OSError(errno.EIO, "the folder says no")
        real(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    log, settled = opened()
    write(log)
    log.hurry()
    position, failure = settled.next()
    assert position == log.position
    assert failure is not None
    log.hurry()
    assert settled.next() == (log.position, None)
    assert len(synced) == 2


def test_closing_brings_everything_to_the_disk(tmp_path, opened, disk):
    log, _ = opened()
    write(log)
    disk.let_all()
    log.close()
    [segment] = segments(tmp_path)
    stat = segment.within(tmp_path).stat()
    assert disk.flushed[stat.st_ino] == stat.st_size
