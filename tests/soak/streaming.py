"""Minutes of streaming under kills, full disks and jumping clocks; then every row is reconciled.

``PYTHONPATH=tests python -m soak.streaming --minutes 30`` (a part of ``make soak``). A topic and a
folder are fed without pause; ``onward ingest --follow`` runs as a user runs it, and is

- killed with SIGKILL at any moment, and started again; at times a second process stands by;
- left without disk: the project's state is on a small tmpfs, which is filled to the last byte for
  some seconds (mounting it needs root; elsewhere no file may grow for as long, by RLIMIT_FSIZE);
- told another time: its wall clock is set hours forth and back, while it runs.

At the end every message and every line of every file must be in the lake once: published, or in
quarantine where it breaks the rule or does not decode. A follower that ends by itself is a failure
too.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from onward.core.errors import OnwardError
from onward.infra.lake.iceberg import open_lake
from services.clock import WallClock
from services.kafka import PARTITIONS, Kafka
from soak.disk import memory_disk, no_room
from soak.reconcile import Sent, reconcile

STATE_MB = 512
AHEAD = 60_000
HOURS = (-24, -2, 0, 1, 9 * 24)  # by which the clock is ahead
COMMAND = [str(Path(sys.executable).with_name("onward")), "ingest"]
PIPELINE = '''\
"""What is soaked: a topic and a folder."""

from ibis import _

import onward as ow

payments = ow.Source(
    "payments",
    ow.kafka("payments", brokers="{brokers}"),
    key="number",
    event_time="at",
    checks=[ow.check("amount is positive", _.amount > 0)],
    micro_batch=ow.micro_batch(rows=5_000, wait="1s"),
)
lines = ow.Source(
    "lines",
    ow.files("data/*.csv"),
    key="number",
    event_time="at",
    checks=[ow.check("amount is positive", _.amount > 0)],
)


@ow.on_demand
def twice(amount):
    return {{"twice": 2 * amount}}


@ow.label(key="number", event_time="at", available_at="at")
def target(lines):
    return lines.select("number", "at", "amount")


@ow.model(features=[twice], label=target, task="regression")
def nothing(X, y):
    from sklearn.dummy import DummyRegressor

    return DummyRegressor().fit(X, y)


pipeline = ow.Pipeline(model=nothing)
'''


@dataclass
class Follower:
    """`onward ingest --follow`, as a process that may be killed, and must not end by itself."""

    folder: Path
    clock: WallClock
    happened: Counter[str] = field(default_factory=Counter)
    process: subprocess.Popen[bytes] | None = None
    began: int = 0  # where in its log the process began

    def start(self) -> None:
        environment = {**self.clock.environment, "PYTHONUNBUFFERED": "1"}
        with (self.folder / "follower.log").open("ab") as log:
            self.began = log.tell()
            self.process = subprocess.Popen(
                [*COMMAND, "--follow", "--json", "--project", str(self.folder)],
                stdout=log,
                stderr=log,
                env=environment,
            )

    def look(self, excused: str = "") -> None:
        """Start it again if it ended by itself, and count that."""
        assert self.process is not None
        if self.process.poll() is not None:
            self.happened[excused or f"ended by itself ({self.process.returncode})"] += 1
            self.start()

    def at_work(self, patience_s: float = 90) -> None:
        """Wait until it has taken a batch in, though not for ever: trouble before is no trouble."""
        assert self.process is not None
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline and self.process.poll() is None:
            with (self.folder / "follower.log").open("rb") as log:
                log.seek(self.began)
                if b'"taken"' in log.read():
                    return
            time.sleep(0.2)

    def pids(self) -> list[int]:
        return [] if self.process is None else [self.process.pid]

    def said(self) -> Counter[str]:
        """Return what all of them said, a batch or a pause at a time."""
        lines = (self.folder / "follower.log").read_text(errors="replace").splitlines()
        events = [json.loads(line) for line in lines if line.startswith('{"event"')]
        return Counter(f"{e['source']} {e['event']} {e.get('why', '')[:90]}" for e in events)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()


class Feed(threading.Thread):
    """Sends messages and writes files until it is stopped, and remembers what it sent.

    It waits when much was not taken in yet: the mock cluster keeps 100,000 messages a partition.
    """

    def __init__(self, kafka: Kafka, folder: Path, rate: int) -> None:
        super().__init__(daemon=True)
        self.sent = Sent()
        self._kafka, self._folder, self._rate = kafka, folder, rate
        self._stopped = threading.Event()
        self._chance = random.Random(1)
        self._last = 0

    def run(self) -> None:
        while not self._stopped.wait(0.5):
            if self.sent.count - self._taken() < AHEAD:
                self._messages(self._rate // 2)
            if self._chance.random() < 0.2:
                self._file()

    def stop(self) -> None:
        self._stopped.set()
        self.join()

    def _taken(self) -> int:
        with suppress(OnwardError, OSError):
            head = open_lake(self._folder / ".onward" / "lake").head("raw.payments")
            self._last = sum(json.loads(head.state["offsets"]).values()) if head else 0
        return self._last

    def _messages(self, count: int) -> None:
        partition = self._chance.randrange(PARTITIONS)
        values = []
        for _ in range(count):
            number = self.sent.message(partition, kind := self._kind())
            row = json.dumps({"number": number, "at": "2026-01-01", "amount": amount(kind)})
            values.append({"poison": b"\xff poison", "tombstone": None}.get(kind, row.encode()))
        self._kafka.send("payments", *values, partition=partition)

    def _kind(self) -> str:
        [kind] = self._chance.choices(
            ["good", "negative", "poison", "tombstone"], [0.97, 0.01, 0.01, 0.01]
        )
        return kind

    def _file(self) -> None:
        name = f"{self.sent.files:06}.csv"
        kinds = [("good", "negative")[self._chance.random() < 0.02] for _ in range(100)]
        numbers = self.sent.file(kinds)
        rows = [f"{n},2026-01-01,{amount(k)}" for n, k in zip(numbers, kinds, strict=True)]
        part = self._folder / "data" / f"{name}.part"
        part.write_text("\n".join(["number,at,amount", *rows, ""]))
        part.rename(part.with_suffix(""))


def amount(kind: str) -> float:
    return -1.0 if kind == "negative" else 5.0


def soak(minutes: float, seed: int, rate: int) -> int:
    chance, began = random.Random(seed), time.monotonic()
    root = Path(tempfile.mkdtemp(prefix="onward-soak-"))
    folder, kafka = root / "project", Kafka()
    kafka.create("payments")
    (folder / "data").mkdir(parents=True)
    (folder / "pipeline.py").write_text(PIPELINE.format(brokers=kafka.brokers))
    (folder / "onward.toml").write_text('[project]\nname = "soak"\n')
    clock = WallClock(root / "clock")
    follower, feed = Follower(folder, clock), Feed(kafka, folder, rate)
    with memory_disk(folder / ".onward", STATE_MB) as mounted:
        say(f"{minutes:g} minutes, seed {seed}, {rate} messages/s, in {root}")
        say(f"disk: {'tmpfs' if mounted else 'RLIMIT_FSIZE'}")
        feed.start()
        follower.start()
        while time.monotonic() - began < 60 * minutes:
            if chance.random() < 0.8:
                follower.at_work()
            time.sleep(chance.uniform(0, 10))
            follower.look()
            trouble(chance, follower, folder, mounted)
        feed.stop()
        clock.set(0)
        follower.look()
        if follower.process is not None:
            follower.process.send_signal(signal.SIGTERM)
            follower.happened[f"stopped ({follower.process.wait(120)})"] += 1
        last = subprocess.run([*COMMAND, "--project", str(folder)], check=False)
        say(f"troubles: {dict(follower.happened)}")
        for line, count in follower.said().most_common():
            say(f"{count:4} x {line}")
        wrong = reconcile(folder / ".onward" / "lake", feed.sent)
    kafka.stop()
    itself = [what for what in follower.happened if what.startswith("ended by itself")]
    if wrong or itself or last.returncode:
        say(f"FAILED; everything is kept in {root}")
        return 1
    shutil.rmtree(root)
    say("every row is there, once")
    return 0


def trouble(chance: random.Random, follower: Follower, folder: Path, mounted: bool) -> None:
    """Do one of the things that must not matter."""
    what = chance.choice(["kill", "kill", "kill", "standby", "full", "clock"])
    follower.happened[what] += 1
    if what == "kill":
        follower.kill()
        follower.start()
    elif what == "standby":
        second = Follower(folder, follower.clock)
        second.start()
        time.sleep(chance.uniform(3, 6))
        follower.kill()
        follower.process, follower.began = second.process, second.began
    elif what == "full":
        with no_room(folder / ".onward", mounted, follower.pids):
            time.sleep(chance.uniform(2, 5))
        follower.look(excused="was not up yet, and could not start without disk")
    else:
        follower.clock.set(3_600 * chance.choice(HOURS))


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Soak streaming.")
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 30))
    parser.add_argument("--rate", type=int, default=2000)
    given = parser.parse_args()
    sys.exit(soak(given.minutes, given.seed, given.rate))
