"""Crashes under load, and then every answer that a client received is looked for in the log.

``KILLS=50`` (as ``make soak`` has it) kills that many gateways for each guarantee.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import trained_models as small
from gateway_load import MODEL, Load
from gateway_site import routes_of, serving

from onward.core.records import Logging
from onward.stages.serve.gateway.process.local import read_address
from onward.stages.serve.gateway.settings import GatewayConfig
from onward.stages.serve.log.reader import find, read
from onward.stages.serve.log.segment import Address, SegmentFile, segments

KILLS = int(os.environ.get("KILLS", "2"))
RECORDED = Path(__file__).with_name("recorded_disk.py")


def reconcile(folder: Path, answered: list[dict[str, Any]]) -> None:
    """Every answer is in the log, once, as it was given."""
    predictions, _ = read(folder)
    logged = {p.id: p for p in predictions}
    assert len(logged) == len(predictions)
    ids = [entry["id"] for entry in answered]
    assert len(set(ids)) == len(ids)
    for entry in answered:
        found = logged[entry["id"]]
        assert (found.unit, found.output, found.status) == (entry["unit"], entry["output"], 200)
        assert (found.version, found.arm) == (entry["version"], entry["arm"])


@pytest.mark.crash
@pytest.mark.timeout(60 + 60 * KILLS)
@pytest.mark.parametrize("guarantee", ["fast", "strict"])
def test_a_killed_gateway_has_logged_all_that_it_answered(tmp_path, image, guarantee):
    answered: list[dict[str, Any]] = []
    logging = Logging(guarantee=guarantee)
    for _ in range(KILLS):
        with serving(tmp_path, routes_of((image("plain"), 100.0)), logging=logging) as site:
            with Load(site, callers=8) as load:
                load.until(more=random.randrange(1, 120))
                os.kill(site.server.pid, signal.SIGKILL)
                site.until(lambda load=load: bool(load.failures))
            answered += [entry for status, entry in load.answers if status == 200]
    assert len(answered) >= KILLS
    reconcile(tmp_path / "predictions", answered)
    writers = {segment.writer for segment in segments(tmp_path / "predictions")}
    assert len(writers) == KILLS, "a gateway begins segments of its own"


class Noting:
    """Callers that note when each answer came, by the clock that the notes of flushes have."""

    def __init__(self, url: str, callers: int) -> None:
        self.answers: list[tuple[int, dict[str, Any]]] = []
        self._url = url
        self._wanted = threading.Semaphore(0)
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._call, args=(i,)) for i in range(callers)]

    def _call(self, seed: int) -> None:
        rows = small.rows(50, seed=seed)
        with httpx.Client(base_url=self._url, timeout=30) as client:
            for i in range(1_000_000):
                if self._stop.is_set():
                    return
                answer = client.post(f"{MODEL}/predict", json={"rows": [rows[i % 50]]})
                came = time.monotonic_ns()
                assert answer.status_code == 200
                self.answers.append((came, answer.json()["predictions"][0]))
                self._wanted.release()

    def collect(self, n: int) -> list[tuple[int, dict[str, Any]]]:
        for thread in self._threads:
            thread.start()
        for _ in range(n):
            assert self._wanted.acquire(timeout=60)
        self._stop.set()
        for thread in self._threads:
            thread.join()
        return sorted(self.answers, key=lambda answer: answer[0])


@contextmanager
def recorded(config: GatewayConfig, notes: Path) -> Iterator[str]:
    """Run a gateway whose flushes are noted; kill it at the end."""
    state = Path(config.state)
    state.mkdir(parents=True)
    file = state / "gateway.json"
    file.write_bytes(msgspec.json.encode(config))
    command = [sys.executable, str(RECORDED), str(notes), "--config", str(file)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE)
    try:
        deadline = time.monotonic() + 60
        while (address := read_address(state)) is None:
            assert process.poll() is None, process.stderr and process.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        yield address.url
    finally:
        process.kill()
        process.communicate()


def on_the_disk(notes: Path, at: int) -> dict[str, int]:
    """Return how much of each segment had reached the disk by a moment."""
    found: dict[str, int] = {}
    for line in notes.read_text().splitlines():
        name, size, came_back = line.split()
        if int(came_back) <= at:
            found[name] = max(found.get(name, 0), int(size))
    return found


@pytest.mark.crash
def test_strict_answers_survive_a_crash_of_the_machine(tmp_path, image):
    """At whatever moment the machine goes: what had been answered by then is found on the disk."""
    site = serving(
        tmp_path, routes_of((image("plain"), 100.0)), logging=Logging(guarantee="strict")
    )
    notes, predictions = tmp_path / "notes", tmp_path / "predictions"
    with recorded(site.config, notes) as url:
        answers = Noting(url, callers=8).collect(300)
    for came, entry in answers:
        address = Address.parse(entry["id"])
        segment = SegmentFile(address.writer, address.segment).within(predictions).name
        assert on_the_disk(notes, came).get(segment, 0) > address.offset
    flushes = len(notes.read_text().splitlines())
    assert flushes < len(answers), "one flush covers several answers"
    for moment in (len(answers) // 3, 2 * len(answers) // 3, len(answers) - 1):
        at = answers[moment][0]
        left = tmp_path / f"left-{moment}"
        left.mkdir()
        for name, size in on_the_disk(notes, at).items():
            shutil.copy(predictions / name, left)
            os.truncate(left / name, size)
        for came, entry in answers:
            if came <= at:
                assert find(left, entry["id"]).output == entry["output"]
