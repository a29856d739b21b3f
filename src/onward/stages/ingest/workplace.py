"""A folder for what is read and not yet masked: gone when the work is, also after a crash."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

_PREFIX: Final = "onward-ingest-"
_LOCK: Final = "lock"


@contextmanager
def workplace() -> Iterator[Path]:
    """Make a folder among the system's temporary ones, and remove those that crashes left.

    Whoever works in a folder holds a lock on a file in it, which ends with the process however
    that ends. A folder whose lock is free is nobody's any more.
    """
    parent = Path(tempfile.gettempdir())
    _sweep(parent)
    made = Path(tempfile.mkdtemp(prefix=".onward-", dir=parent))
    handle = os.open(made / _LOCK, os.O_CREAT | os.O_RDWR, 0o600)
    folder = made.with_name(_PREFIX + made.name.removeprefix(".onward-"))
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        made.rename(folder)  # only now does it have a name that is swept
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(handle)


def _sweep(parent: Path) -> None:
    for folder in parent.glob(f"{_PREFIX}*"):
        with suppress(OSError):  # another user's, or another process sweeps it
            handle = os.open(folder / _LOCK, os.O_RDWR)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder)
            finally:
                os.close(handle)
