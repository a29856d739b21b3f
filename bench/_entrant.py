"""A contestant's process: `python -m bench._entrant MODULE:FUNCTION`, in its own environment.

The function is a generator that takes what it is given and yields once per run. What it does before
`with timed() as took:` is not measured: imports, connections, what must be there afresh::

    def runs(given: Given) -> Iterator[Found]:
        import duckdb

        while True:
            with timed() as took:
                count = duckdb.read_parquet(given["file"]).count("*").fetchall()
            yield took | {"rows": count[0][0]}

Each line on standard input asks for a run and is answered by a line of JSON; the first holds what
is given, and what to run with before that, unmeasured. What libraries print goes to standard error.
Only the standard library is imported here: every peer's environment runs this file.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Given = dict[str, Any]
Found = dict[str, Any]


@contextmanager
def timed() -> Iterator[Found]:
    """Measure the block: wall and CPU seconds, and the most memory held meanwhile, in MB.

    CPU is that of all threads and of child processes that ended; memory is this process's, with
    its libraries. Nothing is left over to be collected or written to disk when the block begins.
    """
    took: Found = {}
    gc.collect()
    os.sync()
    _forget_peak()
    start, before = time.perf_counter(), _cpu_seconds()
    yield took
    took["seconds"] = time.perf_counter() - start
    took["cpu_s"] = _cpu_seconds() - before
    took["peak_mb"] = _peak_mb()


def _cpu_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def _forget_peak() -> None:
    with contextlib.suppress(OSError):  # where it is refused, the peak is the process's
        Path("/proc/self/clear_refs").write_text("5")


def _peak_mb() -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def main() -> None:
    module, _, function = sys.argv[1].partition(":")
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    given, warm = json.loads(sys.stdin.readline())
    runs = getattr(importlib.import_module(module), function)
    if warm is not None:
        next(runs(warm))
    for found in runs(given):
        print(json.dumps(found), file=answers, flush=True)
        if not sys.stdin.readline():
            break


if __name__ == "__main__":
    main()
