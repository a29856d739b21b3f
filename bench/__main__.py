"""Run benchmarks, print their rows, keep them under ``bench/results/``."""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.report import Row, machine, write

HERE = Path(__file__).parent
ALL = sorted(
    m.name
    for m in pkgutil.iter_modules([str(HERE)])
    if m.name != "report" and not m.name.startswith("_")
)


def main() -> int:
    """Run the named benchmarks, or all; exit with 1 where one fails to run or misses a target."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=", ".join(ALL))
    parser.add_argument("--quick", action="store_true", help="small sizes: does it run at all?")
    asked = parser.parse_args()
    if unknown := sorted(set(asked.names) - set(ALL)):
        parser.error(f"no benchmark {', '.join(unknown)}; there are: {', '.join(ALL)}")

    console, facts = Console(), machine()
    results: dict[str, Sequence[Row]] = {}
    for name in asked.names or ALL:
        console.print(f"[dim]{name} …[/dim]")
        results[name] = importlib.import_module(f"bench.{name}").run(asked.quick)
    console.print(table(results))
    console.print(f"{facts['cores']} cores, load {facts['load']:.1f}, {facts['commit']}")
    console.print(f"[dim]{write(results, facts, HERE / 'results', datetime.now(UTC))}[/dim]")
    missed = [row for rows in results.values() for row in rows if row.met is False]
    return 1 if missed and not asked.quick else 0


def table(results: dict[str, Sequence[Row]]) -> Table:
    """Return one line per row, a section per benchmark."""
    drawn = Table("work", "unit", title="Ours against the limit")
    for heading in ("ours", "limit", "ratio", "target"):
        drawn.add_column(heading, justify="right")
    drawn.add_column("note", overflow="fold")
    colour = {None: "", True: "[green]", False: "[red]"}
    for rows in results.values():
        for r in rows:
            figures = (f"{r.ours:,.4g}", f"{r.limit:,.4g}", f"{colour[r.met]}{r.ratio:.2f}")
            drawn.add_row(r.work, r.unit, *figures, r.target, r.note)
        drawn.add_section()
    return drawn


if __name__ == "__main__":
    sys.exit(main())
