"""Distributions as pip brings them: wheels for the image's platform, whatever runs here."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from onward.core.errors import UnavailableError
from onward.stages.deploy.adapters.installed import tidy
from onward.stages.deploy.image.lock import Lock, normal
from onward.stages.deploy.port import Component

_GLIBC: Final = (5, *range(12, 40))
_MACHINES: Final = {"amd64": "x86_64", "arm64": "aarch64"}


@dataclass(frozen=True, slots=True)
class PipWheels:
    """Asks pip's configured index, or a folder of wheels alone."""

    folder: Path | None = None

    def same(self, lock: Lock, *, platform: str) -> str | None:
        """One version of a distribution has one wheel for a platform: indexes replace none."""
        source = "index" if self.folder is None else "folder"
        return f"{lock.digest} {platform} {source}"

    def install(self, lock: Lock, target: Path, *, platform: str) -> Sequence[Component]:
        """Download the wheels, then install them from there and nowhere else."""
        with tempfile.TemporaryDirectory(prefix="onward-wheels-") as scratch:
            wheels = Path(scratch)
            asked = wheels / "lock.txt"
            asked.write_text(lock.text)
            options = ["--no-deps", "--only-binary=:all:", *_tags(lock, platform)]
            where = [] if self.folder is None else ["--no-index", "-f", str(self.folder)]
            _pip("download", *options, *where, f"--dest={wheels}", f"--requirement={asked}")
            brought = sorted(wheels.glob("*.whl"))
            _pip("install", *options, "--no-index", "--no-compile", "--no-warn-conflicts",
                 f"--target={target}", *map(str, brought))  # fmt: skip
            digests = {normal(wheel.name.split("-", 1)[0]): _sha256(wheel) for wheel in brought}
        return [replace(c, sha256=digests[c.name]) for c in tidy(target)]


def _tags(lock: Lock, platform: str) -> list[str]:
    system, _, architecture = platform.partition("/")
    machine = _MACHINES.get(architecture, architecture)
    minor = lock.python.replace(".", "")
    platforms = [f"many{system}_2_{glibc}_{machine}" for glibc in reversed(_GLIBC)]
    return [
        *(f"--platform={name}" for name in (*platforms, f"manylinux2014_{machine}")),
        f"--python-version={lock.python}",
        "--implementation=cp",
        f"--abi=cp{minor}",
        "--abi=abi3",
        "--abi=none",
    ]


def _pip(verb: str, *options: str) -> None:
    command = [sys.executable, "-m", "pip", verb, *options, "--disable-pip-version-check",
               "--no-input", "--quiet"]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        words = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise UnavailableError(
            f"pip cannot bring the image's distributions: {(words or [done.stderr.strip()])[-1]}",
            expected="a wheel for the image's platform for each of them",
            next_step="see that pip reaches an index; or set [deploy] wheels to a folder of "
            'wheels, or [deploy] environment = "installed" to take what is installed here',
        )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
