"""An hour of production at half of its peak, with releases, kills and full disks; then the books.

``PYTHONPATH=tests python -m soak.serving --minutes 60`` (``make soak-serve``). A project is run
once and kept by ``onward up``, started again whenever it ends, as a service manager would. Callers
hold half of the rate that was measured at the start, and write down every answer. Meanwhile

- releases go through without pause: canaries, shadows, blue-green; a third of the versions fail in
  production and must be rolled back, some are taken back by hand; the log's guarantee and what a
  full disk means change with them;
- new orders come in, predictions get feedback, the log is folded into the lake and let go;
- the disk that holds all of the project's state is filled to the last byte for some seconds (a
  loop device, which needs root; elsewhere no file may grow for as long);
- in the first third workers, the gateway and `onward up` are killed with SIGKILL and workers are
  renewed by SIGHUP; later only workers but the first are killed, so that the others grow old.

It fails unless

- every answer is logged once, by its id, as it was given, and nobody was answered otherwise;
- every error that a caller saw has its cause among what was broken at that moment;
- no version that fails in production was promoted, others were, and `onward up` ended only where it
  was killed;
- the memory, files and threads of each process that lived for ten minutes are flat (`Life.flat`),
  and so is the log's size.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
from rich.console import Console
from rich.live import Live
from rich.table import Table

from onward.app.project import open_project
from onward.flow.release.observe import bring_in
from onward.stages.serve.step import FEEDBACK
from onward.stages.serve.step import TABLE as PREDICTIONS
from soak.answers import SLACK_S, Reconciled, Window, reconcile
from soak.disk import file_disk
from soak.editions import Editions
from soak.keeper import ONWARD, BrokenError, Keeper
from soak.memory import Life, Sampler, lives
from soak.shop import write_shop

STATE_MB = 32 << 10  # of a sparse file: what is not used takes nothing
CONNECTIONS = 32
PEAK_S = 5.0
RELEASES_MIN = 15  # in so many minutes releases of both ends are seen

console = Console()


class Load(threading.Thread):
    """Callers, in a process of their own."""

    def __init__(self, port: int, rate: float, seed: int, journal: Path) -> None:
        super().__init__(daemon=True)
        self.journal = journal
        self.said: dict[str, Any] = {"seen": {}, "requests": 0, "p99_ms": None}
        self.rates: list[int] = []
        connections = min(CONNECTIONS, max(4, round(rate / 8))) if rate else CONNECTIONS
        words = [port, rate, connections, seed, journal]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "soak.load", *map(str, words)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.start()

    def run(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.said = json.loads(line)
            self.rates.append(self.said["requests"])

    def finish(self) -> None:
        """Let every request have its answer."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        if self._process.wait(120):
            raise BrokenError(f"the callers ended with {self._process.returncode}")
        self.join()


def soak(given: argparse.Namespace) -> int:
    chance = random.Random(given.seed)
    root = Path(tempfile.mkdtemp(prefix="onward-soak-"))
    folder = root / "project"
    editions = Editions(folder, random.Random(given.seed), given.log)
    write_shop(folder, editions.next(), workers=given.workers)
    with file_disk(folder / ".onward", root / "disk.img", STATE_MB) as mounted:
        say(f"{given.minutes:g} minutes, seed {given.seed}, {given.workers} workers, in {root}")
        say(f"disk: {'ext4 in a file' if mounted else 'RLIMIT_FSIZE'}")
        subprocess.run([ONWARD, "run", "--project", str(folder)], check=True, capture_output=True)
        keeper = Keeper(folder, given.workers)
        try:
            result = _kept(given, chance, keeper, editions, mounted)
        finally:
            status = keeper.finish()
        if status:
            result["wrong"].append(f"`onward up` was stopped, and ended with {status}")
        say("comparing what was answered with what is logged …")
        books = _books(folder, root, keeper.windows, editions.brittle)
        result["counts"] = books.counts
        result["wrong"] += books.wrong
    _show(result)
    given.result.parent.mkdir(parents=True, exist_ok=True)
    given.result.write_text(json.dumps(result, indent=1, default=str))
    say(f"written to {given.result}")
    if result["wrong"]:
        say(f"FAILED; journals and logs are kept in {root}")
        return 1
    shutil.rmtree(root)
    judged = sum(life["judged"] for life in result["lives"])
    flat = f"{judged} processes are flat" if judged else "no process lived long enough to judge"
    say(f"every answer is in the log, once, as it was given; {flat}")
    return 0


def _kept(
    given: argparse.Namespace,
    chance: random.Random,
    keeper: Keeper,
    editions: Editions,
    mounted: bool,
) -> dict[str, Any]:
    """Load it and trouble it for its time; return what was seen."""
    root = keeper.folder.parent
    keeper.until(keeper.whole)
    rate = given.rate or _peak(keeper, given.seed, root) / 2
    say(f"{rate:,.0f} requests a second from now on")
    load = Load(keeper.port, rate, given.seed, root / "answers.csv")
    sampler = Sampler(lambda: keeper.pid, keeper.state / "predictions", every_s=2.0)
    sampler.start()
    editions.start()
    wrong: list[str] = []
    begin = time.monotonic()
    end = begin + 60 * given.minutes
    with Live(console=console, refresh_per_second=1, transient=True) as line:
        watching = threading.Event()
        showing = threading.Thread(
            target=_progress, args=(line, watching, begin, end, load, keeper, editions)
        )
        showing.start()
        try:
            while (now := time.monotonic()) < end:
                calm = now - begin > 20 * given.minutes
                pause = chance.uniform(20, 70) if calm else chance.uniform(5, 35)
                time.sleep(min(pause, max(0.0, end - now)))
                keeper.trouble(chance, calm=calm, mounted=mounted)
        except BrokenError as error:
            wrong.append(str(error))
        editions.stop()
        load.finish()
        sampler.stop()
        watching.set()
        showing.join()
    seen = lives(sampler.samples)
    wrong += editions.wrong + _endings(keeper) + _growth(seen, sampler.log_mb)
    if given.minutes >= RELEASES_MIN and not editions.saw("promoted", "rolled back"):
        wrong.append(f"not one release was promoted and one rolled back: {dict(editions.ends)}")
    return {
        "minutes": given.minutes,
        "seed": given.seed,
        "workers": given.workers,
        "rate": rate,
        "requests": sum(load.rates),
        "happened": dict(keeper.happened),
        "editions": dict(editions.ends),
        "ended": keeper.ended,
        "windows": [asdict(window) for window in keeper.windows],
        "log_mb": [max((mb for _, mb in part), default=0.0) for part in _thirds(sampler.log_mb)],
        "lives": [asdict(life) | {"flat": life.flat, "judged": life.judged} for life in seen],
        "wrong": wrong,
    }


def _peak(keeper: Keeper, seed: int, root: Path) -> float:
    """Return how many requests a second are answered when callers do not wait."""
    load = Load(keeper.port, 0, seed, root / "peak.csv")
    time.sleep(PEAK_S)
    load.finish()
    rates = sorted(load.rates[1:-1] or load.rates)
    say(f"peak: {rates[len(rates) // 2]:,} requests a second")
    return rates[len(rates) // 2]


def _endings(keeper: Keeper) -> list[str]:
    """Say where `onward up` ended although it was not killed."""
    killed = [w for w in keeper.windows if w.kind == "project killed"]
    return [
        f"`onward up` ended by itself at {at:.1f}: {words}"
        for at, words in keeper.ended
        if not any(w.begin <= at <= w.end + SLACK_S for w in killed)
    ]


def _growth(seen: list[Life], log_mb: list[tuple[float, float]]) -> list[str]:
    wrong = [
        f"{life.role} ({life.pid}) grew by {life.mb_an_hour:,.0f} MB an hour, "
        f"{life.growth:.0%} in all; {life.more_files:+g} files, {life.more_threads:+g} threads"
        for life in seen
        if life.judged and not life.flat
    ]
    _, middle, last = (max((mb for _, mb in part), default=0.0) for part in _thirds(log_mb))
    if last > 2 * middle + 128:
        wrong.append(f"the log grew from {middle:,.0f} to {last:,.0f} MB: nothing lets it go")
    return wrong


def _thirds(values: list[Any]) -> list[list[Any]]:
    n = len(values)
    return [values[n * i // 3 : n * (i + 1) // 3] for i in range(3)]


def _books(folder: Path, root: Path, windows: list[Window], brittle: set[int]) -> Reconciled:
    """Bring the rest of the log in, and compare."""
    with open_project(folder) as project:
        bring_in(project.site)
        lake = project.site.lake
        columns = ["id", "unit", "version", "arm", "status", "output"]
        predictions = lake.read(PREDICTIONS, columns=columns)
        told = pa.schema({"prediction": pa.string(), "value": pa.float64()}).empty_table()
        if lake.head(FEEDBACK) is not None:
            told = lake.read(FEEDBACK, columns=["prediction", "value"])
    journals = sorted(root.glob("*.csv"))
    return reconcile(
        journals, predictions=predictions, feedback=told, windows=windows, brittle=brittle
    )


# ---------------------------------------------------------------- showing


def _progress(
    line: Live,
    stopped: threading.Event,
    begin: float,
    end: float,
    load: Load,
    keeper: Keeper,
    editions: Editions,
) -> None:
    """Keep one line up to date; where nobody looks, print one a minute."""
    ticks = 0
    while not stopped.wait(1):
        said, now = load.said, time.monotonic()
        seen = ", ".join(f"{count:,} {kind}" for kind, count in said["seen"].items())
        p99 = "" if said["p99_ms"] is None else f", p99 {said['p99_ms']:.0f} ms"
        text = (
            f"{(now - begin) / 60:.1f} of {(end - begin) / 60:g} min; {said['requests']:,}/s{p99}; "
            f"{seen}; {sum(keeper.happened.values())} troubles; {editions.now}"
        )
        line.update(text)
        ticks += 1
        if not console.is_terminal and ticks % 60 == 0:
            say(text)


def _show(result: dict[str, Any]) -> None:
    table = Table("", "", "", title="answers, troubles and releases")
    for name in ("counts", "happened", "editions"):
        for what, count in result.get(name, {}).items():
            took = [w["end"] - w["begin"] for w in result["windows"] if w["kind"] == what]
            whole = f"whole after {max(took):.1f} s at most" if took else ""
            table.add_row(what, f"{count:,}", whole)
        table.add_section()
    console.print(table)
    table = Table("process", "min", "MB", "most", "MB/h", "growth", "files", "threads", "flat")
    judged = [life for life in result["lives"] if life["judged"]]
    for life in judged or result["lives"][:4]:
        table.add_row(
            f"{life['role']} ({life['pid']})", f"{life['lived_s'] / 60:.1f}",
            f"{life['mb']:,.0f}", f"{life['most_mb']:,.0f}", f"{life['mb_an_hour']:+,.1f}",
            f"{life['growth']:+.1%}", f"{life['more_files']:+g}", f"{life['more_threads']:+g}",
            ("yes" if life["flat"] else "NO") if life["judged"] else "too young",
        )  # fmt: skip
    console.print(table)
    for wrong in result["wrong"]:
        say(f"wrong: {wrong}")


def say(text: str) -> None:
    console.print(
        f"{time.strftime('%H:%M:%S')} {text}", markup=False, highlight=False, soft_wrap=True
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Soak serving.")
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 30))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rate", type=float, help="requests a second, instead of half of the peak")
    parser.add_argument("--log", choices=["fast", "strict", "alternate"], default="alternate")
    parser.add_argument("--result", type=Path, default=Path("bench/results/soak-serve.json"))
    sys.exit(soak(parser.parse_args()))
