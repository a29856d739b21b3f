"""Disks that can be left without a byte, for what must outlast that."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

BLOCK = 4096


@contextmanager
def memory_disk(folder: Path, megabytes: int) -> Iterator[bool]:
    """Put a tmpfs at `folder`; false where mounting is not allowed."""
    size = f"size={megabytes}m"
    with _mounted(folder, ["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(folder)]) as mounted:
        yield mounted


@contextmanager
def file_disk(folder: Path, image: Path, megabytes: int) -> Iterator[bool]:
    """Put an ext4 at `folder` that lies in the sparse file `image`; false where it is not allowed.

    No block of it is kept for root, who would otherwise not see it full.
    """
    with image.open("wb") as file:
        file.truncate(megabytes << 20)
    make = ["mkfs.ext4", "-q", "-m", "0", str(image)]
    with suppress(FileNotFoundError):
        subprocess.run(make, check=False, capture_output=True)
    try:
        with _mounted(folder, ["mount", "-o", "loop", str(image), str(folder)]) as mounted:
            yield mounted
    finally:
        image.unlink()


@contextmanager
def _mounted(folder: Path, mount: list[str]) -> Iterator[bool]:
    folder.mkdir()
    mounted = subprocess.run(mount, check=False, capture_output=True).returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(folder)], check=True)


@contextmanager
def no_room(disk: Path, mounted: bool, pids: Callable[[], Sequence[int]]) -> Iterator[None]:
    """Leave no byte on a disk of ours; elsewhere let no file of these processes grow."""
    if not mounted:
        _limit(pids(), 1024)
        try:
            yield
        finally:
            _limit(pids(), resource.RLIM_INFINITY)
        return
    ballast = disk / "ballast"
    with ballast.open("wb") as file:
        _take_all(file.fileno())
    try:
        yield
    finally:
        ballast.unlink()


def _take_all(fd: int) -> None:
    """Let a file have every block that is left."""
    left = os.fstatvfs(fd)
    step, size = left.f_bavail * left.f_frsize, 0
    while step >= BLOCK:
        try:
            os.posix_fallocate(fd, size, step)
            size += step
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            step //= 2


def _limit(pids: Sequence[int], most: int) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))
