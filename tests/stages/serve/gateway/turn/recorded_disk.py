"""A gateway that notes what is on the disk: ``python recorded_disk.py NOTES gateway-arguments``.

Each line of the notes is a flush that came back: the file, how much of it was there when the flush
began, and when it came back, in nanoseconds by the machine's monotonic clock. A crash of the
machine at some moment would leave no less than what was noted before it.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from onward.stages.serve.gateway.__main__ import main

_flush = os.fdatasync


def noted(notes: int) -> None:
    """Note every flush from now on."""

    def fdatasync(fd: int) -> None:
        size = os.fstat(fd).st_size
        _flush(fd)
        name = Path(f"/proc/self/fd/{fd}").readlink().name
        os.write(notes, f"{name} {size} {time.monotonic_ns()}\n".encode())

    os.fdatasync = fdatasync


if __name__ == "__main__":
    noted(os.open(sys.argv[1], os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o644))
    sys.exit(main(sys.argv[2:]))
