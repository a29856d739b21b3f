"""Ours with everything on beside other servers: the same model, machine and requests.

Everything on is a canary, the durable prediction log (`fast`), metrics, and traces of 1 %; what a
shadow or an access log adds, `features` tells. Peers are as their documentation starts them. All
run at once and are asked in turns, so that all see the same machine; before that their answers are
compared with the model's own. CPU and memory are those of a server and of all its processes.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import product
from pathlib import Path

from rich.console import Console

from bench._contest import AbsentError
from bench._gateways import everything_on
from bench._load import Figures, load
from bench._model import write_estimator
from bench._processes import cpu_seconds, memory_mb
from bench._serving import CONTESTANTS, Contestant, Running, started
from bench.gateway import fitted, sample
from bench.report import Row

OURS = Contestant(name="ours", peer="onward")
Cell = tuple[int, int]  # connections, rows of a request


def run(quick: bool) -> Sequence[Row]:
    """Measure at one and two workers, all cells; few of them if `quick`."""
    if quick:
        return measure(workers=1, rounds=1, seconds=0.5, cells=[(64, 1), (1, 1), (64, 100)])
    cells = list(product((1, 16, 64), (1, 100)))
    return [
        row
        for workers in (1, 2)
        for row in measure(workers=workers, rounds=3, seconds=2.0, cells=cells)
    ]


def measure(
    workers: int = 1,
    rounds: int = 1,
    seconds: float = 0.5,
    cells: Sequence[Cell] = ((64, 1),),
    contestants: Sequence[Contestant] = CONTESTANTS,
) -> list[Row]:
    """Start ours and all contestants, ask them in turns, end them; compare medians."""
    absent: dict[str, str] = {}
    found: dict[tuple[str, Cell], list[Figures]] = {}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        say = stack.enter_context(Console(stderr=True).status("")).update
        place = Path(folder)
        servers = list(_started(place, workers, contestants, stack, absent, say))
        for number, cell in product(range(rounds), cells):
            for server in list(servers)[:: (1, -1)[number % 2]]:
                name = server.contestant.name
                say(f"{name}: {_work(workers, cell)}, round {number + 1} of {rounds}")
                body = place / "body.json"
                body.write_bytes(server.contestant.body(sample()[: cell[1]]))
                try:
                    figures = _asked(server, body, cell[0], seconds)
                    found.setdefault((name, cell), []).append(figures)
                except AbsentError as failed:
                    if server.contestant is OURS:
                        raise
                    absent[name] = str(failed)
                    servers.remove(server)
    medians = {
        key: {figure: statistics.median(run[figure] for run in runs) for figure in runs[0]}
        for key, runs in found.items()
    }
    return [
        row for cell in cells for row in _rows(medians, workers, cell, rounds, contestants, absent)
    ]


def _started(place, workers, contestants, stack, absent, say) -> Iterator[Running]:
    """Start ours and the others, check what they answer, and warm them up."""
    estimator = fitted(sample())
    model = place / "model.json"
    write_estimator(estimator, model)
    rows = sample()[:100]
    expected = estimator.predict_proba(rows)[:, 1]
    body = place / "warm.json"
    for contestant in (OURS, *contestants):
        say(f"starting {contestant.name}")
        own = ExitStack()
        try:
            if contestant is OURS:
                url, pid = own.enter_context(everything_on(place, workers))
                server = Running(contestant, url, pid)
            else:
                server = own.enter_context(started(contestant, model, workers, rows[:1]))
            for count in (1, 100):
                server.check(rows[:count], expected[:count])
            body.write_bytes(contestant.body(rows[:1]))
            load(server.url, body, 0.5, 16)
        except AbsentError as why:
            own.close()
            if contestant is OURS:
                raise
            absent[contestant.name] = str(why)
            continue
        stack.push(own)
        yield server


def _asked(server: Running, body: Path, connections: int, seconds: float) -> Figures:
    """Load one server; return its figures, with CPU per request and memory of its tree."""
    before = cpu_seconds(server.pid)
    figures = load(server.url, body, seconds, connections)
    figures["cpu_us"] = 1e6 * (cpu_seconds(server.pid) - before) / figures["requests"]
    figures["mb"] = memory_mb(server.pid)
    return figures


def _work(workers: int, cell: Cell) -> str:
    counts = zip((workers, *cell), ("worker", "connection", "row"), strict=True)
    return ", ".join(f"{count} {noun}{'s' * (count > 1)}" for count, noun in counts)


def _rows(medians, workers, cell, rounds, contestants, absent) -> Iterator[Row]:
    """Yield requests/s, CPU per request and p99 beside each other's; higher ratios are better."""
    work, ours = _work(workers, cell), medians[OURS.name, cell]
    for other in contestants:
        theirs = medians.get((other.name, cell))
        if theirs is None:
            why = absent[other.name]
            yield Row(
                work=work, ours=ours["cpu_us"], limit=None, ratio=None, target="",
                unit="us CPU/request", against=other.name, error=why,
            )  # fmt: skip
            continue
        notes = {
            "per_second": f"failed {ours['failed']:.0f} / {theirs['failed']:.0f}",
            "cpu_us": f"medians of {rounds}",
            "p99_ms": f"p50 {ours['p50_ms']:.1f} / {theirs['p50_ms']:.1f}",
        }
        target = _target(other, workers, cell)
        cpu = theirs["cpu_us"] / ours["cpu_us"] if ours["cpu_us"] else None
        for key, unit, ratio, wanted in (
            ("per_second", "requests/s", ours["per_second"] / theirs["per_second"], target),
            ("cpu_us", "us CPU/request", cpu, target),
            ("p99_ms", "ms p99", theirs["p99_ms"] / ours["p99_ms"], ">= 1" if target else ""),
        ):
            yield Row(
                work=work, ours=ours[key], limit=theirs[key], ratio=ratio, target=wanted, unit=unit,
                note=notes[key], against=other.name, cpu_ratio=cpu,
                peak_mb=(ours["mb"], theirs["mb"]),
            )  # fmt: skip


def _target(other: Contestant, workers: int, cell: Cell) -> str:
    """Return the target of the design: its factor in one cell, ahead in all others."""
    if other.target is None:
        return ""
    return f">= {other.target:g}" if (workers, cell) == (1, (64, 1)) else ">= 1"
