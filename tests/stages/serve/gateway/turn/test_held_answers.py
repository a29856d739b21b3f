"""Answers that wait for the disk: in order, all or refused, never for ever."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import uvloop

from onward.core.records import Logging
from onward.stages.serve.gateway.features.online import Online
from onward.stages.serve.gateway.metrics.counters import Metrics
from onward.stages.serve.gateway.routing.job import Job, Part
from onward.stages.serve.gateway.turn import held as held_module
from onward.stages.serve.gateway.turn.held import Held
from onward.stages.serve.gateway.turn.recorder import Recorder
from onward.stages.serve.gateway.turn.tick import Ticker
from onward.stages.serve.log.segment import Feedback
from onward.stages.serve.log.writer import PredictionLog

FAST = Logging()
SAID_NO = OSError(errno.EIO, "Input/output error")


class Log:
    """What `Held` and `Recorder` ask of a log: here the disk says yes or no when told to."""

    def __init__(self) -> None:
        self.position = 0
        self.told: Any = None

    def listen(self, told: Any) -> None:
        self.told = told


def job(caller: object, position: int, logging: Logging = FAST) -> Job:
    made = Job(caller, route="predict", keep_alive=True)  # type: ignore[arg-type]
    model = SimpleNamespace(name="m")
    part = Part(SimpleNamespace(logging=logging, model=model), 0)  # type: ignore[arg-type]
    part.units, part.ids = ["u"], ["w.0.8.0"]
    made.parts, made.position = (part,), position
    return made


def run(test: Any) -> tuple[list[Job], Metrics]:
    """Run a test of held answers in a loop; return what was answered, in order."""
    answered: list[Job] = []
    metrics = Metrics()

    async def within() -> None:
        log = Log()
        recorder = Recorder(metrics=metrics, log=log)  # type: ignore[arg-type]
        await test(Held(recorder, answered.append, lambda: None), log, answered)

    uvloop.run(within())
    return answered, metrics


def test_one_flush_lets_go_all_that_it_covers_and_no_more():
    async def test(held, log, answered):
        jobs = [job(f"c{i}", position) for i, position in enumerate((100, 100, 250, 400))]
        for each in jobs:
            held.add(each)
        assert held
        assert "c0" in held
        held.settle(250, None)
        assert answered == jobs[:3]
        assert "c0" not in held
        held.settle(400, None)
        assert not held

    answered, _ = run(test)
    assert len(answered) == 4
    assert all(each.refusal is None and each.parts[0].ids for each in answered)


def test_a_connections_answers_keep_their_order():
    """What needs no disk waits for the answer before it on the same connection, and only there."""

    async def test(held, log, answered):
        first, second = job("c", 100), job("c", 0)
        held.add(first)
        assert "c" in held
        assert "other" not in held
        held.add(second)
        assert answered == []
        held.settle(100, None)
        assert answered == [first, second]
        held.add(third := job("c", 0))
        assert answered[-1] is third

    run(test)


def test_what_could_not_be_flushed_is_refused_or_served_by_its_policy():
    strict = {"guarantee": "strict"}

    async def test(held, log, answered):
        held.add(job("a", 100, Logging(**strict)))
        held.add(job("b", 100, Logging(**strict, on_failure="serve")))
        held.add(job("c", 0))
        feedback = job("d", 100)
        feedback.parts, feedback.feedback = (), Feedback([1], ["m"], ["p"], ["label"], [1.0])
        feedback.logging = Logging(on_failure="serve")
        held.add(feedback)
        held.add(job("e", 200, Logging(**strict)))
        held.settle(100, SAID_NO)
        held.settle(200, None)

    answered, metrics = run(test)
    refused, served, behind, feedback, later = answered
    assert b"the prediction log failed (Input/output error)" in (refused.refusal or b"")
    assert refused.headers == b"\r\nRetry-After: 1"
    assert served.refusal is None
    assert served.parts[0].ids == ()
    assert behind.refusal is None
    assert behind.parts[0].ids
    assert feedback.refusal is not None, "feedback that is not kept is refused by any policy"
    assert later.refusal is None
    assert metrics.unlogged == {"m": 1}


def test_after_a_slow_flush_those_just_answered_are_given_time_to_ask_again(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(held_module, "SLOW_S", 0.0)
    answered: list[Job] = []
    freed: list[int] = []

    async def within() -> None:
        loop, log = asyncio.get_running_loop(), Log()
        recorder = Recorder(metrics=Metrics(), log=log)  # type: ignore[arg-type]
        again = asyncio.Event()

        def free() -> None:
            freed.append(len(answered))
            again.set()

        held = Held(recorder, answered.append, free)
        for callers, gathers in ((held_module.COMPANY - 1, False), (held_module.COMPANY, True)):
            for i in range(callers):
                held.add(job(f"c{i}", 100))
            assert held.busy
            again.clear()
            later = loop.time()
            held.settle(100, None)
            assert not held
            assert held.busy is gathers
            await asyncio.wait_for(again.wait(), 20)
            assert not held.busy
            assert loop.time() >= later

    uvloop.run(within())
    assert freed == [held_module.COMPANY - 1, 2 * held_module.COMPANY - 1]


class Told:
    """A caller that notes when it is answered."""

    def __init__(self, name: str, order: list[str]) -> None:
        self.name, self._order = name, order
        self.answered = asyncio.Event()

    def answer(self, status: int, body: bytes, **_: Any) -> None:
        assert status == 200
        self._order.append(self.name)
        self.answered.set()


def test_what_must_wait_for_a_busy_disk_is_collected_and_nothing_else_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Strict requests that come during a flush share the next turn; a probe is answered at once."""
    let, begun, real = threading.Semaphore(0), threading.Semaphore(0), os.fdatasync

    def fdatasync(fd: int) -> None:
        begun.release()
        assert let.acquire(timeout=20)
        real(fd)

    monkeypatch.setattr(os, "fdatasync", fdatasync)
    order: list[str] = []

    async def within(log: PredictionLog) -> None:
        loop, metrics = asyncio.get_running_loop(), Metrics()
        ticker = Ticker(
            metrics=metrics,
            online=Online(None, timeout_s=1.0),
            recorder=Recorder(metrics=metrics, log=log),
        )

        def ask(name: str, *, strict: bool) -> Told:
            caller = Told(name, order)
            asked = Job(caller, route="feedback", keep_alive=True)  # type: ignore[arg-type]
            asked.ready(200, b"{}")
            if strict:
                asked.feedback = Feedback([1], ["m"], ["p"], ["label"], [1.0])
                asked.logging = Logging(guarantee="strict")
            ticker.add(asked)
            return caller

        first = ask("first", strict=True)
        assert await loop.run_in_executor(None, begun.acquire)
        written = log.position
        assert written > 0
        second, third = ask("second", strict=True), ask("third", strict=True)
        for _ in range(5):
            await asyncio.sleep(0)
        assert log.position == written, "they wait for the disk to be free"
        let.release()
        await first.answered.wait()
        assert await loop.run_in_executor(None, begun.acquire)
        assert log.position == 3 * written, "one turn for two"
        fourth, probe = ask("fourth", strict=True), ask("probe", strict=False)
        await probe.answered.wait()
        let.release(2)
        for each in (second, third, fourth):
            await each.answered.wait()

    log = PredictionLog(tmp_path, started_ns=time.time_ns(), bound_s=1_000.0)
    try:
        uvloop.run(within(log))
    finally:
        let.release(10)
        log.close()
    assert order == ["first", "probe", "second", "third", "fourth"]


def test_a_disk_that_does_not_answer_has_failed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(held_module, "STALLED_S", 0.05)
    monkeypatch.setattr(held_module, "LOOK_S", 0.01)

    async def test(held, log, answered):
        held.add(first := job("a", 100))
        while not answered:
            await asyncio.sleep(0.01)
        assert answered == [first]
        held.add(second := job("b", 200))
        assert answered == [first, second], "while it hangs nobody waits in vain"
        log.told(300, None)  # the flush came back, on the log's thread
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        held.add(job("c", 400))
        assert held

    answered, _ = run(test)
    assert all(b"no flush has come back" in (each.refusal or b"") for each in answered)
