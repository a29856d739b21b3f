"""What a model was fitted with: interpreter, platform and installed distributions."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping
from importlib import metadata


def installed() -> dict[str, str]:
    """Return every installed distribution's version, by name."""
    return {d.name: d.version for d in sorted(metadata.distributions(), key=lambda d: d.name)}


def machine() -> dict[str, str | int | None]:
    """Return the interpreter, the platform and the number of CPUs.

    The last because sums in floating point depend on how many threads share them.
    """
    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "system": platform.system(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
    }


def imported(versions: Mapping[str, str]) -> dict[str, str]:
    """Return those distributions of which a module has been imported by this process."""
    owners = metadata.packages_distributions()
    names = {module.partition(".")[0] for module in sys.modules}
    found = {owner for name in names for owner in owners.get(name, ())}
    return {name: version for name, version in versions.items() if name in found}


def requirements(distributions: Mapping[str, str]) -> str:
    """Return pinned requirements, one a line."""
    return "".join(f"{name}=={version}\n" for name, version in sorted(distributions.items()))
