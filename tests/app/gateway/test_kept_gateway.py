"""A gateway that is kept: started again when it ends, patiently, and not for ever."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from onward.app.gateway import kept
from onward.app.gateway.kept import KeptServer
from onward.core.errors import BusyError, OnwardError


class Fake:
    def __init__(self, pid: int) -> None:
        self.pid, self.url, self.runs, self.stopped = pid, f"http://gateway:{pid}", True, False

    def alive(self) -> bool:
        return self.runs

    def stop(self) -> None:
        self.runs, self.stopped = False, True


class Starts:
    """Gives one server after the other; what is an error is raised."""

    def __init__(self, *given: Fake | OnwardError) -> None:
        self._given: Iterator[Fake | OnwardError] = iter(given)
        self.tries = 0

    def __call__(self) -> Fake:
        self.tries += 1
        found = next(self._given)
        if isinstance(found, OnwardError):
            raise found
        return found


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "LOOK_S", 0.001)
    monkeypatch.setattr(kept, "PATIENCE_S", (0.001, 0.002))


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_one_that_ends_is_started_again_once_its_port_is_free():
    first, second = Fake(1), Fake(2)
    starts, said = Starts(first, BusyError("port 8080 is taken"), second), []
    server = KeptServer(starts, said.append)
    assert (server.url, server.pid) == (first.url, 1)
    first.runs = False
    until(lambda: len(said) == 2)
    assert (server.url, server.pid, server.alive()) == (second.url, 2, True)
    assert starts.tries == 3
    assert said == [
        "the gateway (process 1) has ended: starting it again",
        "the gateway serves again (process 2)",
    ]
    server.stop()
    assert second.stopped


def test_one_that_does_not_start_again_is_given_up(monkeypatch):
    monkeypatch.setattr(kept, "GIVE_UP_S", 0.0)
    first, said = Fake(1), []
    server = KeptServer(Starts(first, OnwardError("the image is damaged")), said.append)
    first.runs = False
    until(lambda: not server.alive())
    assert said[-1] == "error: the image is damaged"
    server.stop()


def test_it_can_be_stopped_while_it_does_not_start():
    first, starts = Fake(1), Starts(Fake(1), *[BusyError("port 8080 is taken")] * 100_000)
    server = KeptServer(starts, lambda _: None)
    server._server.runs = False
    until(lambda: starts.tries > 3)
    server.stop()
    assert server.alive()
    assert first.runs


def test_the_first_start_must_succeed():
    with pytest.raises(BusyError, match="taken"):
        KeptServer(Starts(BusyError("port 8080 is taken")), print)
