"""Ours with everything on beside other servers: the same model, machine and requests.

Everything on is a canary, the durable prediction log (`fast`), metrics, and traces of 1 %; what a
shadow or an access log adds, `features` tells. Peers are as their documentation starts them, and
are asked by every protocol that they speak. All run at once and are asked in turns, so that all see
the same machine; before that their answers are compared with the model's own. CPU and memory are
those of a server and of all its processes.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import product
from pathlib import Path
from typing import Final, NamedTuple

from rich.console import Console

from bench._contest import AbsentError
from bench._gateways import everything_on
from bench._load import Figures
from bench._markdown import table
from bench._model import write_estimator
from bench._processes import cpu_seconds, memory_mb
from bench._serving import CONTESTANTS, Contestant, Running, started
from bench._ways import Rest, Rpc, Way
from bench.gateway import fitted, sample
from bench.report import Row

_MODEL: Final = "/v2/models/m/infer"
OURS = Contestant(name="ours", peer="onward", ways=(Rest(path=_MODEL), Rpc()))
UNITS: Final = {"cpu_us": "us CPU/request", "per_second": "requests/s", "p99_ms": "ms p99"}


class Cell(NamedTuple):
    """How servers are asked: over what, by how many connections, for how many rows at once."""

    protocol: str
    connections: int
    rows: int

    def within(self, workers: int) -> str:
        """Return the cell in words, beginning with what a table has in common."""
        counts = zip((workers, *self[1:]), ("worker", "connection", "row"), strict=True)
        words = (f"{count} {noun}{'s' * (count > 1)}" for count, noun in counts)
        return ", ".join((self.protocol, *words))


QUICK: Final = [Cell("REST", 64, 1), Cell("REST", 1, 1), Cell("REST", 64, 100), Cell("gRPC", 64, 1)]
FULL: Final = [Cell(*each) for each in product(("REST", "gRPC"), (1, 16, 64), (1, 100))]


def run(quick: bool) -> Sequence[Row]:
    """Measure at one and two workers, all cells: a quarter of an hour; few of them if `quick`."""
    if quick:
        return measure(workers=1, rounds=1, seconds=0.5, cells=QUICK)
    return [
        row
        for workers in (1, 2)
        for row in measure(workers=workers, rounds=3, seconds=1.0, cells=FULL)
    ]


def measure(
    workers: int = 1,
    rounds: int = 1,
    seconds: float = 0.5,
    cells: Sequence[Cell] = (Cell("REST", 64, 1),),
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
                way = _way(server.contestant, cell.protocol)
                if way is None:
                    continue
                name = server.contestant.name
                say(f"{name}: {cell.within(workers)}, round {number + 1} of {rounds}")
                body = place / "body"
                body.write_bytes(way.request(sample()[: cell.rows]))
                try:
                    figures = _asked(server, way, body, cell.connections, seconds)
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


def _way(contestant: Contestant, protocol: str) -> Way | None:
    return next((way for way in contestant.ways if way.name == protocol), None)


def _started(
    place: Path,
    workers: int,
    contestants: Sequence[Contestant],
    stack: ExitStack,
    absent: dict[str, str],
    say: Callable[[str], None],
) -> Iterator[Running]:
    """Start ours and the others, check what they answer, and warm them up."""
    estimator = fitted(sample())
    model = place / "model.json"
    write_estimator(estimator, model)
    rows = sample()[:100]
    expected = estimator.predict_proba(rows)[:, 1]
    body = place / "warm"
    for contestant in (OURS, *contestants):
        say(f"starting {contestant.name}")
        own = ExitStack()
        try:
            if contestant is OURS:
                ports, pid = own.enter_context(everything_on(place, workers))
                addresses = {
                    way.name: way.address(port) for way, port in zip(OURS.ways, ports, strict=True)
                }
                server = Running(OURS, addresses, pid)
            else:
                server = own.enter_context(started(contestant, model, workers, rows[:1]))
            for way in contestant.ways:
                for count in (1, 100):
                    server.check(way, rows[:count], expected[:count])
                body.write_bytes(way.request(rows[:1]))
                way.load(server.addresses[way.name], body, 0.5, 16)
        except AbsentError as why:
            own.close()
            if contestant is OURS:
                raise
            absent[contestant.name] = str(why)
            continue
        stack.push(own)
        yield server


def _asked(server: Running, way: Way, body: Path, connections: int, seconds: float) -> Figures:
    """Load one server; return its figures, with CPU per request and memory of its tree."""
    before = cpu_seconds(server.pid)
    figures = way.load(server.addresses[way.name], body, seconds, connections)
    figures["cpu_us"] = 1e6 * (cpu_seconds(server.pid) - before) / figures["requests"]
    figures["mb"] = memory_mb(server.pid)
    return figures


def _rows(
    medians: Mapping[tuple[str, Cell], Figures],
    workers: int,
    cell: Cell,
    rounds: int,
    contestants: Sequence[Contestant],
    absent: Mapping[str, str],
) -> Iterator[Row]:
    """Yield requests/s, CPU per request and p99 beside each other's; higher ratios are better."""
    work, ours = cell.within(workers), medians[OURS.name, cell]
    for other in contestants:
        if _way(other, cell.protocol) is None:
            continue
        theirs = medians.get((other.name, cell))
        if theirs is None:
            yield Row(
                work=work, ours=ours["cpu_us"], limit=None, ratio=None, target="",
                unit=UNITS["cpu_us"], against=other.name, error=absent[other.name],
            )  # fmt: skip
            continue
        failed = (ours["failed"], theirs["failed"])
        notes = {
            "per_second": "{:.0f} / {:.0f} failed".format(*failed) if any(failed) else "",
            "cpu_us": f"medians of {rounds}",
            "p99_ms": f"p50 {ours['p50_ms']:.1f} / {theirs['p50_ms']:.1f}",
        }
        target = _target(other, workers, cell)
        cpu = theirs["cpu_us"] / ours["cpu_us"] if ours["cpu_us"] else None
        for key, ratio, wanted in (
            ("per_second", ours["per_second"] / theirs["per_second"], target),
            ("cpu_us", cpu, target),
            ("p99_ms", theirs["p99_ms"] / ours["p99_ms"], ">= 1" if target else ""),
        ):
            yield Row(
                work=work, ours=ours[key], limit=theirs[key], ratio=ratio, target=wanted,
                unit=UNITS[key], note=notes[key], against=other.name, cpu_ratio=cpu,
                peak_mb=(ours["mb"], theirs["mb"]),
            )  # fmt: skip


def _target(other: Contestant, workers: int, cell: Cell) -> str:
    """Return the target of the design: its factor in one cell, ahead of peers in all others."""
    if other.target is None:
        return ""
    return f">= {other.target:g}" if (workers, cell) == (1, QUICK[0]) else ">= 1"


# ---------------------------------------------------------------- the page


def page(rows: Sequence[Row]) -> Iterator[str]:
    """Yield the tables of `docs/benchmarks.md`: one for each protocol and number of workers."""
    for kind in dict.fromkeys(_kind(row) for row in rows):
        yield from (f"{kind}: CPU per request, requests/s and p99, times ours", "")
        yield from _page([row for row in rows if _kind(row) == kind])
        yield ""


def _kind(row: Row) -> str:
    return ", ".join(row.work.split(", ")[:2])


def _page(rows: Sequence[Row]) -> Iterator[str]:
    cells = list(dict.fromkeys(row.work for row in rows))
    found = {(row.against, row.work, row.unit): row for row in rows}
    lines = [["ours: µs, 1/s, ms"]]
    for cell in cells:
        figures = {unit: row.ours for (_, work, unit), row in found.items() if work == cell}
        lines[0].append(", ".join(_figure(figures.get(unit)) for unit in UNITS.values()))
    lines[0] += [_megabytes(rows, 0), ""]
    for against in dict.fromkeys(row.against for row in rows):
        own = [row for row in rows if row.against == against]
        line = [against]
        for cell in cells:
            ratios = (found.get((against, cell, unit)) for unit in UNITS.values())
            line.append(", ".join(_figure(row.ratio) for row in ratios if row is not None))
        said = dict.fromkeys(
            row.error or row.note for row in own if row.error or "failed" in row.note
        )
        line += [_megabytes(own, 1), "; ".join(filter(None, said))]
        lines.append(line)
    names = [", ".join(cell.split(", ")[2:]) for cell in cells]
    yield from table(["", *names, "MB", "failed"], lines)


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}" if value >= 100 else f"{value:.2g}"


def _megabytes(rows: Iterable[Row], which: int) -> str:
    return f"{max((row.peak_mb[which] for row in rows if row.peak_mb), default=0):,.0f}"
