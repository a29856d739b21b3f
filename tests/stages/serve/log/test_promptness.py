"""Threads that ask Linux to run when they wake."""

from __future__ import annotations

import ctypes
import os
import struct
import threading
from collections.abc import Callable

from onward.stages.serve.log.promptness import TURN_NS, prompt

GETATTR = 315  # sched_getattr, on x86_64


def in_a_thread(work: Callable[[], object]) -> object:
    found: list[object] = []
    thread = threading.Thread(target=lambda: found.append(work()))
    thread.start()
    thread.join()
    return found[0]


def turn_ns() -> int:
    told = ctypes.create_string_buffer(48)
    assert ctypes.CDLL(None).syscall(GETATTR, 0, told, 48, 0) == 0
    return int(struct.unpack_from("=IIQiIQ", told.raw)[-1])


def test_a_thread_gets_short_turns_and_the_others_keep_theirs():
    def work() -> tuple[bool, int, int]:
        return prompt(), os.getpriority(os.PRIO_PROCESS, 0), os.sched_getscheduler(0)

    nice = os.getpriority(os.PRIO_PROCESS, 0)
    asked, nice_there, policy = in_a_thread(work)  # type: ignore[misc]
    assert (nice_there, policy) == (nice, os.SCHED_OTHER)
    release = tuple(map(int, os.uname().release.split("-")[0].split(".")[:2]))
    if os.uname().machine == "x86_64" and release >= (6, 12):
        assert asked
        assert in_a_thread(lambda: (prompt(), turn_ns())) == (True, TURN_NS)
        assert turn_ns() != TURN_NS


def test_a_thread_that_runs_in_idle_time_goes_on_so():
    def work() -> tuple[bool, int]:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        return prompt(), os.sched_getscheduler(0)

    assert in_a_thread(work) == (False, os.SCHED_IDLE)


def test_where_the_call_is_not_known_nothing_is_asked(monkeypatch):
    monkeypatch.setattr("platform.machine", lambda: "z80")
    assert not prompt()
