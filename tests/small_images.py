"""Whole images in small: a root with little in it, wheels with a line each."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from onward.core import digest
from onward.core.records import ModelRef
from onward.stages.deploy.adapters.cyclonedx import CycloneDx
from onward.stages.deploy.adapters.wheels import PipWheels
from onward.stages.deploy.image.base import RootBase
from onward.stages.deploy.image.lock import lock
from onward.stages.deploy.port import Packages, Signer, Workbench

STATUS = """\
Package: libc6
Status: install ok installed
Architecture: amd64
Version: 2.36-9
Description: a library
 with: a description

Package: tzdata
Architecture: all
Version: 2026a
"""


def root(folder: Path, python: str = "3.11") -> Path:
    """Write a root with an interpreter's name and a list of packages."""
    (folder / "usr" / "bin").mkdir(parents=True)
    (folder / "usr" / "bin" / f"python{python}").write_bytes(b"\x7fELF")
    (folder / "var" / "lib" / "dpkg").mkdir(parents=True)
    (folder / "var" / "lib" / "dpkg" / "status").write_text(STATUS)
    return folder


def recorded(model: ModelRef, python: str = "3.11.2", **distributions: str) -> ModelRef:
    """Record an environment in a trained folder; return the model with its new digest."""
    trained = Path(model.path)
    about = {"python": python, "distributions": distributions}
    (trained / "environment.json").write_text(json.dumps(about))
    return replace(model, digest=digest.of_folder(trained))


def wheels(folder: Path, trained: Path, extras: Sequence[str] = ()) -> Path:
    """Write a wheel of one line for each distribution that the lock pins."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, version in lock(trained, extras=extras).pins.items():
        module = name.replace("-", "_").replace(".", "_")
        about = f"{module}-{version}.dist-info"
        metadata = f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\n"
        contents = {
            f"{module}/__init__.py": f"VERSION = {version!r}\n",
            f"{about}/METADATA": metadata + "License-Expression: MIT\n",
            f"{about}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            f"{about}/entry_points.txt": f"[console_scripts]\n{module} = {module}:run\n",
        }
        record = "".join(f"{path},,\n" for path in [*contents, f"{about}/RECORD"])
        with zipfile.ZipFile(folder / f"{module}-{version}-py3-none-any.whl", "w") as wheel:
            for path, text in {**contents, f"{about}/RECORD": record}.items():
                wheel.writestr(zipfile.ZipInfo(path), text)
    return folder


def workbench(
    base: Path, distributions: Path | Packages, *, signer: Signer | None = None
) -> Workbench:
    """Return a bench over a root and a folder of wheels."""
    packages = PipWheels(distributions) if isinstance(distributions, Path) else distributions
    return Workbench(base=RootBase(base), packages=packages, bom=CycloneDx(), signer=signer)
