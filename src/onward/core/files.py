"""Files replaced whole: whoever reads them meanwhile, or after a crash, finds one or the other."""

from __future__ import annotations

import os
import threading
from pathlib import Path

_PART = ".part"


def write_whole(path: Path, data: bytes) -> None:
    """Put `data` in the place of a file, in one step; a crash of the machine may undo or spoil it.

    Safe in several threads and processes of one machine, or container, at once: the last one's
    stays.
    """
    scratch = unfinished(path)
    try:
        scratch.write_bytes(data)
        scratch.replace(path)
    except BaseException:
        scratch.unlink(missing_ok=True)
        raise


def write_durably(path: Path, data: bytes, *, mode: int = 0o666) -> None:
    """Put `data` in the place of a file, in one step, and return when that is on the disk.

    `mode` is what the file's is to be, less the umask.
    """
    scratch = unfinished(path)
    try:
        scratch.unlink(missing_ok=True)  # a crash may have left it, with another mode
        handle = os.open(scratch, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        settle(scratch, path)
    except BaseException:
        scratch.unlink(missing_ok=True)
        raise


def settle(scratch: Path, path: Path) -> None:
    """Put a file that was written beside another in its place; return when it is on the disk."""
    sync(scratch)
    scratch.replace(path)
    sync(path.parent)


def sync(path: Path) -> None:
    """See a file's content, or a folder's names, on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def unfinished(path: Path) -> Path:
    """Return what a file may be called, beside its place, until this thread has written it."""
    return path.with_name(f".{path.name}.{threading.get_native_id()}{_PART}")


def remove_unfinished(folder: Path, of: str = "*") -> None:
    """Remove what writers of the files `of` that crashed left; there may be no others meanwhile."""
    for left in folder.glob(f".{of}.*{_PART}"):
        left.unlink()
