"""A run of twelve steps with nothing in them: what durability costs, imports and all."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence

from bench.report import Row

DURABLE = """
import sys
from pathlib import Path
from onward.infra.workflows.dbos import DbosWorkflows

def body(steps):
    return [steps(f"step {n}", int, n) for n in range(12)]

workflows = DbosWorkflows(Path(sys.argv[1]) / "workflows.db", name="steps", body=body)
assert workflows.run("run-1") == list(range(12))
workflows.close()
"""

PLAIN = "assert [int(n) for n in range(12)] == list(range(12))"


def run(quick: bool) -> Sequence[Row]:
    """Compare CPU and wall seconds of whole processes, interleaved; medians."""
    rounds = 2 if quick else 7
    taken: dict[str, list[tuple[float, float]]] = {"durable": [], "plain": []}
    for _ in range(rounds):
        for name, code in (("durable", DURABLE), ("plain", PLAIN)):
            with tempfile.TemporaryDirectory() as folder:
                taken[name].append(_measure(code, folder))
    (cpu, wall), (plain_cpu, plain_wall) = (
        tuple(map(statistics.median, zip(*taken[name], strict=True))) for name in taken
    )
    note = f"limit: the same in plain Python, not durable; medians of {rounds} processes"
    return [
        Row(work="12 no-op steps, CPU with imports", ours=cpu, limit=plain_cpu,
            ratio=cpu / plain_cpu, target="", unit="s CPU", note=note),
        Row(work="12 no-op steps, wall with imports", ours=wall, limit=plain_wall,
            ratio=wall / plain_wall, target="", unit="s", note=note),
    ]  # fmt: skip


def _measure(code: str, folder: str) -> tuple[float, float]:
    """Return the CPU and wall seconds of a Python process that runs `code`."""
    before, began = os.times(), time.perf_counter()
    subprocess.run([sys.executable, "-c", code, folder], check=True)
    wall, after = time.perf_counter() - began, os.times()
    cpu = after.children_user + after.children_system
    return cpu - before.children_user - before.children_system, wall
