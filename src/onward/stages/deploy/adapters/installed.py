"""Distributions as they are installed here: for machines that reach no index."""

from __future__ import annotations

import csv
import io
import platform as machine
import shutil
import sys
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import Final

from onward.core.errors import DeclarationError, UnavailableError
from onward.stages.deploy.image.lock import Lock, normal
from onward.stages.deploy.port import Component

_MACHINES: Final = {"x86_64": "amd64", "aarch64": "arm64"}
_OF_THE_INSTALLATION: Final = {"INSTALLER", "REQUESTED", "direct_url.json"}


class Installed:
    """Copies what this process could import; the image must be for this interpreter's platform."""

    def same(self, lock: Lock, *, platform: str) -> str | None:  # noqa: ARG002 (the port's)
        """Nothing but looking tells whether an installation was altered."""
        return None

    def install(self, lock: Lock, target: Path, *, platform: str) -> Sequence[Component]:
        """Copy every distribution's files.

        Raises
        ------
        DeclarationError
            The image is for another interpreter or platform than runs here.
        UnavailableError
            A distribution is not installed here in the version that the model was fitted with.
        """
        here = f"{sys.platform}/{_MACHINES.get(machine.machine(), machine.machine())}"
        python = f"{sys.version_info[0]}.{sys.version_info[1]}"
        if (here, python) != (platform, lock.python):
            raise DeclarationError(
                f"the image is for Python {lock.python} on {platform}, "
                f"and this is Python {python} on {here}",
                next_step='[deploy] environment = "wheels" brings what is not installed here',
            )
        for name, version in sorted(lock.pins.items()):
            self._copy(name, version, target)
        return tidy(target)

    def _copy(self, name: str, version: str, target: Path) -> None:
        try:
            found = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            found = None
        if found is None or found.version != version or not found.files:
            raise UnavailableError(
                f"{name} {version} is not installed here",
                expected="nothing" if found is None else f"not {found.version}",
                next_step=f"pip install {name}=={version}; or train again with what is installed",
            )
        for file in found.files:
            if _belongs(file):
                placed = target / file
                placed.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(Path(str(found.locate_file(file))), placed)


def tidy(target: Path) -> Sequence[Component]:
    """Take out what tells of the installing machine, and return what is left, by name.

    Scripts name an interpreter, compiled code its time; the image needs neither.
    """
    for folder in [*target.rglob("__pycache__"), target / "bin"]:
        shutil.rmtree(folder, ignore_errors=True)
    found = []
    for about in sorted(target.glob("*.dist-info")):
        for name in _OF_THE_INSTALLATION:
            (about / name).unlink(missing_ok=True)
        _keep_record(about)
        found.append(_component(metadata.PathDistribution(about)))
    return sorted(found, key=lambda component: component.name)


def _keep_record(about: Path) -> None:
    record = about / "RECORD"
    if not record.is_file():
        return
    rows = [
        row
        for row in csv.reader(io.StringIO(record.read_text()))
        if _belongs(PurePosixPath(row[0])) and (about.parent / row[0]).is_file()
    ]
    written = io.StringIO()
    csv.writer(written, lineterminator="\n").writerows(sorted(rows))
    record.write_text(written.getvalue())


def _belongs(file: PurePosixPath) -> bool:
    return (
        ".." not in file.parts
        and "__pycache__" not in file.parts
        and file.parts[0] != "bin"
        and file.name not in _OF_THE_INSTALLATION
        and file.suffix != ".pth"
    )


def _component(found: metadata.Distribution) -> Component:
    said = found.metadata
    return Component(
        kind="pypi",
        name=normal(said["Name"]),
        version=found.version,
        licence="".join(_licences(found)),
    )


def _licences(found: metadata.Distribution) -> Iterator[str]:
    said = found.metadata
    expression = said["License-Expression"]
    if expression:
        yield expression
