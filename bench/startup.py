"""What a person waits for before anything happens: CPU of the command line and of the import."""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys

from bench.report import Row

HELP = "import sys; sys.argv = ['onward', '--help']; from onward.surfaces.cli import main; main()"


def run(quick: bool) -> list[Row]:
    """Measure in turns, so that all three see the same machine."""
    programs = {"python": "pass", "import": "import onward", "help": HELP}
    seconds: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(3 if quick else 15):
        for name, program in programs.items():
            seconds[name].append(cpu(program))
    middle = {name: statistics.median(found) for name, found in seconds.items()}
    note = "limit: python -c pass; the target is CPU seconds, so is the ratio's column"
    return [
        Row(work="onward --help", ours=middle["help"], limit=middle["python"],
            ratio=middle["help"], target="<= 0.2", unit="s CPU", note=note),
        Row(work="import onward", ours=middle["import"], limit=middle["python"],
            ratio=middle["import"] / middle["python"], target="", unit="s CPU"),
    ]  # fmt: skip


def cpu(program: str) -> float:
    """Return the CPU seconds, user and system, of a fresh interpreter that runs `program`."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
