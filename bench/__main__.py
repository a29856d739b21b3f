"""Run benchmarks, print their rows, keep them under ``bench/results/``."""

from __future__ import annotations

import argparse
import importlib
import inspect
import pkgutil
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

from rich.console import Console

from bench.report import NOT_INSTALLED, Row, machine, tables, write

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
    parser.add_argument(
        "--size", action="append", default=[], metavar="rows=1000000", type=_size,
        help="another size of one benchmark; its `measure` says which there are",
    )  # fmt: skip
    asked = parser.parse_args()
    if unknown := sorted(set(asked.names) - set(ALL)):
        parser.error(f"no benchmark {', '.join(unknown)}; there are: {', '.join(ALL)}")
    sizes = dict(asked.size)
    if sizes and len(asked.names) != 1:
        parser.error("--size is of one benchmark: name it")

    console = Console(width=None if sys.stdout.isatty() else 160)
    facts = machine()
    results: dict[str, Sequence[Row]] = {}
    at, ended = datetime.now(UTC), 0
    for name in asked.names or ALL:
        console.print(f"[dim]{name} …[/dim]")
        module = importlib.import_module(f"bench.{name}")
        if not sizes.keys() <= (known := _sizes(module)):
            parser.error(f"{name} has the sizes: {', '.join(sorted(known)) or 'none'}")
        try:
            results[name] = module.measure(**sizes) if sizes else module.run(asked.quick)
        except Exception:  # hours of others' figures must not go with it
            console.print_exception()
            ended = 1
            continue
        kept = write(results, facts, HERE / "results", at)
    _show(console, results)
    console.print(f"{facts['cores']} cores, load {facts['load']:.1f}, {facts['commit']}")
    if results:
        console.print(f"[dim]{kept}[/dim]")
    all_rows = [row for rows in results.values() for row in rows]
    if ended or any(row.error not in ("", NOT_INSTALLED) for row in all_rows):
        return 1
    return 1 if any(row.met is False for row in all_rows) and not asked.quick else 0


def _show(console: Console, results: Mapping[str, Sequence[Row]]) -> None:
    """Print all tables, and below a benchmark's own those that the documentation shows."""
    for name, rows in results.items():
        for drawn in tables(name, rows):
            console.print(drawn)
        if page := getattr(sys.modules[f"bench.{name}"], "page", None):
            console.print("\n".join(page(rows)), soft_wrap=True, markup=False, highlight=False)


def _size(text: str) -> tuple[str, int]:
    name, _, value = text.partition("=")
    return name, int(value.replace("_", ""))


def _sizes(module: ModuleType) -> set[str]:
    measure = getattr(module, "measure", None)
    return set(inspect.signature(measure).parameters) if measure else set()


if __name__ == "__main__":
    sys.exit(main())
