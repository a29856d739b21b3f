"""A wall clock for tests: child processes see it jump, and no other process does."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_name("clock.c")


class WallClock:
    """The wall clock of the processes that are started with its `environment`."""

    def __init__(self, folder: Path) -> None:
        compiler = shutil.which("cc")
        if compiler is None:
            raise FileNotFoundError("a C compiler: apt-get install gcc libc6-dev")
        folder.mkdir(parents=True, exist_ok=True)
        library, self._file = folder / "clock.so", folder / "ahead"
        asked = [compiler, "-O2", "-shared", "-fPIC", "-o", library, SOURCE, "-ldl", "-lpthread"]
        subprocess.run(asked, check=True)
        self._file.write_bytes(bytes(8))
        self.environment: Mapping[str, str] = {
            **os.environ, "LD_PRELOAD": str(library), "WALL_CLOCK": str(self._file)
        }  # fmt: skip

    def set(self, seconds: float) -> None:
        """Set it to so many seconds ahead of the machine's."""
        with self._file.open("r+b") as file:
            file.write(struct.pack("q", round(seconds * 1e9)))


@pytest.fixture
def wall_clock(tmp_path: Path) -> WallClock:
    """A wall clock that goes right until it is set."""
    return WallClock(tmp_path / "clock")
